// Progressive enhancement of the pages: dialogs, incremental search, live updates, toasts, times in
// the reader's time zone. Every form and link works without it. Stores nothing.
"use strict";

const base = document.body.dataset.base;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const english = "en-GB";

function make(tag, attributes, ...inside) {
  const it = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) it.setAttribute(name, value);
  it.append(...inside);
  return it;
}

const button = (attributes, words) => make("button", { type: "button", ...attributes }, words);

// The shown page, without the fragment.
const here = () => location.pathname + location.search;
let shownAt = here();

// --- times -------------------------------------------------------------------------------------

const exact = new Intl.DateTimeFormat(english, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(english, { dateStyle: "medium" });
const zone = new Intl.DateTimeFormat(english, { timeZoneName: "short" });
const zoneOf = (at) => zone.formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? "";

function localise(root) {
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const words = `${exact.format(at)} ${zoneOf(at)}`;
    time.title = words;
    if ("day" in time.dataset) time.textContent = day.format(at);
    else if (!("ago" in time.dataset)) time.textContent = words;
  }
}

// --- toasts ------------------------------------------------------------------------------------

function toast(words, wrong = false) {
  const tray = $("#toasts") ?? make("div", { id: "toasts" });
  // Under an open dialog it would be inaccessible; over its buttons it would be in the way.
  const dialog = $("dialog[open]");
  dialog ? dialog.prepend(tray) : document.body.append(tray);
  const close = button({ class: "quiet", "aria-label": "Dismiss" }, "×");
  const [look, role] = wrong ? ["toast error", "alert"] : ["toast", "status"];
  const box = make("div", { class: look, role }, make("p", {}, words), close);
  close.addEventListener("click", () => box.remove());
  tray.append(box);
  makeWay();
  while (tray.children.length > 3) tray.firstElementChild.remove();
  if (wrong) return box;
  let left = setTimeout(() => box.remove(), 8000);
  const stay = () => clearTimeout(left);
  const go = () => { stay(); left = setTimeout(() => box.remove(), 6000); };
  for (const event of ["pointerenter", "focusin"]) box.addEventListener(event, stay);
  for (const event of ["pointerleave", "focusout"]) box.addEventListener(event, go);
  return box;
}

// Focused elements are not covered (WCAG 2.2, 2.4.11).
function makeWay() {
  const tray = $("#toasts");
  if (!tray || tray.contains(document.activeElement)) return;
  tray.classList.remove("up");
  const [it, told] = [document.activeElement.getBoundingClientRect(), tray.getBoundingClientRect()];
  tray.classList.toggle("up", document.activeElement !== document.body && it.bottom > told.top && it.top < told.bottom);
}

// --- asking the server -------------------------------------------------------------------------

// Whether an answer says that the reader is no longer signed in.
const isOver = (answer) => answer.status === 401 || new URL(answer.url).pathname === `${base}/sign-in`;

// Fetches a page, or null on failure, which is reported; nothing typed is lost.
const asked = new Set();

function ask(address, options) {
  const answer = fetched(address, options);
  asked.add(answer);
  return answer.finally(() => asked.delete(answer));
}

async function fetched(address, options) {
  try {
    const answer = await fetch(address, { ...options, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const box of $$("#toasts [data-offline]")) box.remove();
    if (isOver(answer) && document.body.hasAttribute("data-live")) {
      leave();
      return null;
    }
    return { address: answer.url, moved: answer.redirected, page };
  } catch {
    toast("The server cannot be reached. Nothing was lost: try again when you are online.", true).dataset.offline = "";
    return null;
  }
}

// Whether the session is over; false if the server does not respond.
async function isGone() {
  const stop = new AbortController();
  const answer = await fetch(`${base}/live`, { signal: stop.signal, redirect: "manual" }).catch(() => null);
  stop.abort();
  return answer !== null && (answer.status === 401 || answer.type === "opaqueredirect");
}

// Clears the screen when the session has ended.
function leave() {
  // No confirmation once the session is over.
  for (const part of $$("[data-once]")) part.dataset.kept = "";
  document.body.replaceChildren();
  location.replace(`${base}/signed-out`);
}

// --- the page ----------------------------------------------------------------------------------

function show({ address, page }, back) {
  const told = $("#told .told p", page)?.textContent;
  $("#main").replaceWith($("#main", page));
  document.title = page.title;
  if (address !== location.href) history.pushState(null, "", address);
  shownAt = here();
  ready(document);
  const place = back();
  if (!place) $("h1").tabIndex = -1;
  (place ?? $("h1")).focus();
  if (told) toast(told);
}

// Elements in use stay where they are.
const inHand = () =>
  $("dialog[open]") || $(".menu [aria-expanded=true]") || $("input[name=id]:checked");

// While the pointer is down: resolved when it is up and the click was handled. Layout changes wait for
// it, so that the pressed element does not move.
let press = null;
let over = null;
const pressed = () => { press ??= new Promise((done) => { over = done; }); };
const letGo = () => setTimeout(() => { over?.(); press = over = null; });
for (const down of ["pointerdown", "mousedown"]) addEventListener(down, pressed, true);
for (const up of ["pointerup", "mouseup", "pointercancel"]) addEventListener(up, letGo, true);
const afterPress = (then) => (press ? press.then(then) : then());

let soon = 0;
let newest = 0;

// Shows changes of others, as soon as nothing is in use.
function lookAgain() {
  clearTimeout(soon);
  soon = setTimeout(() => (inHand() ? lookAgain() : refresh(location.href, false)), 700);
}

// Replaces only the rows, and keeps focus and scroll position; `asked` if the reader requested it.
async function refresh(address, asked) {
  const list = $("#list");
  if (!list) return;
  const turn = asked ? (newest += 1) : newest;
  // Without a request there is no visual effect.
  const slow = asked ? setTimeout(() => list.setAttribute("aria-busy", "true"), 200) : 0;
  const answer = await ask(address);
  clearTimeout(slow);
  list.removeAttribute("aria-busy");
  const fresh = answer && $("#list", answer.page);
  if (!fresh) return;
  await press;
  // The reader has moved on: this response is obsolete.
  if (turn !== newest || (!asked && address !== location.href)) return;
  // Something may have come into use while waiting.
  if (!asked && inHand()) { lookAgain(); return; }
  const at = document.activeElement?.id;
  const chosen = new Set($$("input[name=id]:checked", list).map((box) => box.value));
  list.replaceWith(fresh);
  for (const part of [".tabs", "#count", "#roles-chosen"]) {
    const [old, now] = [$(part), $(part, answer.page)];
    if (old && now && old.innerHTML !== now.innerHTML) old.innerHTML = now.innerHTML;
  }
  for (const box of $$("input[name=id]", fresh)) box.checked = chosen.has(box.value);
  if (asked) { history.replaceState(null, "", address); shownAt = here(); }
  ready($("#list"));
  if (at && document.activeElement === document.body) document.getElementById(at)?.focus();
}

// --- dialogs -----------------------------------------------------------------------------------

// Where focus returns: the opener of the dialog, or its replacement.
let back = () => null;
let opening = false;

async function open(from, address) {
  // A second click before the response to the first.
  if (opening) return;
  opening = true;
  const place = new URL(address);
  place.searchParams.set("back", here().slice(base.length));
  const answer = await ask(place.href);
  const sheet = answer && $("#sheet", answer.page);
  if (answer && !sheet) { location.assign(answer.address); return; }
  opening = false;
  if (!sheet) return;
  const openers = [from.id, from.dataset.back];
  back = () => [from, ...openers.map((id) => id && document.getElementById(id))].find((it) => it?.isConnected && it.checkVisibility());
  const role = $(".danger", sheet) ? "alertdialog" : "dialog";
  // Escape is handled here only: a browser lets it be prevented only once.
  const dialog = make("dialog", { "aria-labelledby": "sheet-title", role, closedby: "none" }, sheet);
  document.body.append(dialog);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(dialog); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close(dialog);
  });
  dialog.addEventListener("close", () => {
    putAway(dialog);
    back()?.focus();
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    send(dialog, event);
  });
  ready(dialog);
  dialog.showModal();
  first(dialog).focus();
}

const field = (dialog) =>
  $("#faults", dialog) ?? $("[autofocus]", dialog) ?? $("input:not([type=hidden], :disabled, [tabindex='-1']), select, textarea", dialog) ?? $(".ends button, .ends a", dialog);

// Focusing one of the long cards would scroll their heading out of view.
function first(dialog) {
  const begin = field(dialog);
  if (begin.type !== "radio") return begin;
  const title = $("h1", dialog);
  title.tabIndex = -1;
  return title;
}

// Moves the message of a dialog to the page below.
function putAway(dialog) {
  const tray = $("#toasts", dialog);
  if (tray) document.body.append(tray);
  dialog.remove();
}

// Whether a secret that is shown once was not copied, saved or confirmed yet.
const unkept = (root) => $("[data-once]:not([data-kept])", root);
const keep = (part) => part.closest("[data-once]")?.setAttribute("data-kept", "");
const notKept = "This is shown only once. Close it without a copy?";

const typed = (dialog) => $$("input:not([type=hidden]), textarea", dialog).some((field) =>
  field.type === "radio" || field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);

function close(dialog) {
  const lost = $("[data-once]", dialog) ? unkept(dialog) && notKept : typed(dialog) && "Close this and lose what you entered?";
  if (!lost || confirm(lost)) dialog.close();
}

// Continues from a dialog to a page, or to the next dialog.
async function goOn(dialog, address) {
  const answer = await ask(address);
  if (answer) come(dialog, answer);
}

function come(dialog, answer) {
  const sheet = $("#sheet", answer.page);
  if (sheet && !answer.moved) {
    $("#sheet", dialog).replaceWith(sheet);
    ready(dialog);
    first(dialog).focus();
    return;
  }
  putAway(dialog);
  show(answer, back);
}

async function send(dialog, event) {
  const form = event.target;
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  const button = event.submitter;
  button?.setAttribute("aria-disabled", "true");
  button?.classList.add("busy");
  const body = new URLSearchParams(new FormData(form, button ?? undefined));
  const answer = await ask(form.action, form.method === "post" ? { method: "POST", body } : {});
  delete form.dataset.busy;
  button?.removeAttribute("aria-disabled");
  button?.classList.remove("busy");
  if (answer) come(dialog, answer);
}

// --- menus (APG, menu button) ------------------------------------------------------------------

// Replaces the links of a row by a menu: the row references its menu by number, the page describes
// each menu by keys, and each key.
function furnish(cell) {
  const all = $("#row-actions");
  const row = cell.parentNode;
  // The URL of the row's own page, without the return parameter.
  const whole = cell.dataset.of ?? $("a", row).getAttribute("href");
  const of = whole.split("?")[0];
  const opens = `menu-${of}`;
  const item = (told) => {
    const [key, why] = told.split("=");
    const it = $(`[data-key="${key}"]`, all.content).cloneNode(true);
    const { rest } = it.dataset;
    if (why) {
      it.append(make("span", { class: "soft" }, why));
      it.removeAttribute("data-dialog");
      it.setAttribute("aria-disabled", "true");
    } else {
      it.href = ("whole" in it.dataset ? base : rest[0] === "#" ? whole : of) + rest;
    }
    it.dataset.back = opens;
    it.setAttribute("role", "menuitem");
    it.tabIndex = -1;
    return make("li", { role: "none" }, it);
  };
  const label = all.dataset.label.replace("{}", () => $("bdi", row).textContent);
  const items = all.dataset.menus.split("|")[cell.dataset.rowActions].split(";").map(item);
  const state = { "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label };
  const menu = make("div", { class: "menu" },
    button({ class: "dots", id: opens, ...state }, "⋯"),
    make("ul", { role: "menu", "aria-label": label, hidden: "" }, ...items));
  cell.replaceChildren(menu);
}

function shut(menu, back) {
  const button = $("[aria-haspopup]", menu);
  button.setAttribute("aria-expanded", "false");
  $("[role=menu]", menu).hidden = true;
  if (back) button.focus();
}

function raise(menu, last) {
  for (const other of $$(".menu")) if (other !== menu) shut(other, false);
  $("[aria-haspopup]", menu).setAttribute("aria-expanded", "true");
  $("[role=menu]", menu).hidden = false;
  const items = $$("[role=menuitem]", menu);
  items.at(last ? -1 : 0)?.focus();
}

function menuKeys(event) {
  const menu = event.target.closest(".menu");
  if (!menu) return;
  const items = $$("[role=menuitem]", menu);
  const at = items.indexOf(document.activeElement);
  if (at < 0) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      raise(menu, event.key === "ArrowUp");
    }
    return;
  }
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    items.at(to % items.length)?.focus();
  } else if (event.key === "Escape" || event.key === "Tab") {
    if (event.key === "Escape") event.preventDefault();
    shut(menu, event.key === "Escape");
  } else if (event.key === " ") {
    event.preventDefault();
    document.activeElement.click();
  }
}

// --- input -----------------------------------------------------------------------------

function showPassword(field) {
  const show = button({ class: "quiet", "aria-pressed": "false", "aria-label": "Show the password" }, "Show");
  show.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    show.textContent = shown ? "Show" : "Hide";
    show.setAttribute("aria-pressed", String(!shown));
  });
  const both = make("div", { class: "with" });
  field.before(both);
  both.append(field, show);
}

// Only length is measured (NIST SP 800-63B-4, appendix A); the server checks the rules.
function strength(field) {
  const scale = { max: 24, low: 12, high: 16, optimum: 24 };
  const meter = make("meter", { ...scale, "aria-label": "Strength of the password" });
  field.closest(".field").append(meter);
  field.addEventListener("input", () => {
    meter.value = Math.min(24, new Set(field.value).size + Math.max(0, field.value.length - 8));
  });
}

const domains = ["gmail.com", "yahoo.com", "outlook.com", "hotmail.com", "icloud.com", "proton.me"];

function distance(a, b) {
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i += 1) {
    let before = row[0];
    row[0] = i;
    for (let j = 1; j <= b.length; j += 1) {
      const here = row[j];
      row[j] = Math.min(here + 1, row[j - 1] + 1, before + (a[i - 1] === b[j - 1] ? 0 : 1));
      before = here;
    }
  }
  return row[b.length];
}

function fault(field, words) {
  const id = `${field.id}-wrong`;
  let box = document.getElementById(id);
  if (!words) {
    box?.remove();
    field.removeAttribute("aria-invalid");
    return;
  }
  if (!box) {
    box = make("span", { class: "wrong", id });
    field.closest(".field").append(box);
    const by = field.getAttribute("aria-describedby") ?? "";
    if (!by.split(" ").includes(id)) field.setAttribute("aria-describedby", `${by} ${id}`.trim());
  }
  box.textContent = words;
  field.setAttribute("aria-invalid", "true");
}

// Checked when the field is left, and again by the server.
function check(field) {
  if (field.value === "" || !field.closest(".field")) return;
  if (field.type === "email" && !field.validity.valid) {
    fault(field, "Enter an email address, such as asha@example.com.");
    return;
  }
  fault(field, null);
  const domain = field.type === "email" && field.value.split("@")[1]?.toLowerCase();
  const near = domain && domains.find((known) => known !== domain && distance(domain, known) <= 2);
  const id = `${field.id}-near`;
  document.getElementById(id)?.remove();
  if (near && !domains.includes(domain)) {
    const words = `${domain} – did you mean ${near}?`;
    field.closest(".field").append(make("span", { class: "hint", id, role: "status" }, words));
  }
}

// --- copying -----------------------------------------------------------------------------------

async function copy(text, told, from) {
  try {
    await navigator.clipboard.writeText(text);
    toast(told);
    keep(from);
  } catch {
    toast("Your browser doesn't allow copying here. Select the text and copy it yourself.", true);
  }
}

// --- recovery codes ----------------------------------------------------------------------------

function keepCodes(list) {
  const text = () => $$("li", list).map((item) => item.textContent.trim()).join("\n");
  const act = (name, does) => {
    const one = button({}, name);
    one.addEventListener("click", does);
    return one;
  };
  list.after(make("div", { class: "row" },
    act("Copy", () => copy(text(), "Copied. Paste them where you keep passwords.", list)),
    act("Download", () => {
      const href = URL.createObjectURL(new Blob([`${text()}\n`], { type: "text/plain" }));
      make("a", { href, download: "kwic-recovery-codes.txt" }).click();
      URL.revokeObjectURL(href);
      keep(list);
    }),
    act("Print", () => print())));
}

// --- setup of a page ---------------------------------------------------------------------

function ready(root) {
  localise(root);
  for (const field of $$("[data-show]", root)) if (!field.closest(".with")) showPassword(field);
  for (const field of $$("[data-strength]", root)) strength(field);
  for (const list of $$(".codes", root)) keepCodes(list);
  for (const cell of $$("[data-row-actions]", root)) furnish(cell);
  for (const button of $$("[aria-haspopup]", root)) button.hidden = false;
  // The focused element of a row is identified by name when the rows are replaced.
  for (const link of $$("tbody th a", root)) link.id ||= link.getAttribute("href");
  for (const box of $$("input[name=id]", root)) box.id = `tick-${box.value}`;
  for (const box of $$("[data-all]", root)) box.hidden = false;
  for (const asks of $$("[data-passkey]", root)) import(asks.dataset.by).then((it) => it.furnish(asks));
  for (const copied of $$("[data-copy]", root)) copied.hidden = false;
}

let waiting = 0;

// The second half of a double click must not confirm a dialog that replaced the first.
document.addEventListener("click", (event) => {
  if (event.detail < 2 || !event.target.closest("a[data-dialog], form[method=post] button:not([type=button])")) return;
  event.preventDefault();
  event.stopPropagation();
}, true);

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    const menu = link.closest(".menu");
    if (menu) shut(menu, true);
    open(link, link.href);
    return;
  }
  const shutting = event.target.closest("dialog [data-close]");
  if (shutting) {
    event.preventDefault();
    close(shutting.closest("dialog"));
    return;
  }
  const done = event.target.closest("[data-done]");
  if (done) keep(done);
  const onward = event.target.closest("dialog :is([data-done], [data-instead])");
  if (onward) {
    event.preventDefault();
    goOn(onward.closest("dialog"), onward.href);
    return;
  }
  const opens = event.target.closest(".opens");
  if (opens) {
    const open = document.getElementById(opens.getAttribute("aria-controls")).classList.toggle("open");
    opens.setAttribute("aria-expanded", String(open));
  }
  const button = event.target.closest("[aria-haspopup]");
  const menu = event.target.closest(".menu");
  for (const other of $$(".menu")) if (other !== menu) shut(other, false);
  if (button) button.getAttribute("aria-expanded") === "true" ? shut(menu, true) : raise(menu, false);
  const copied = event.target.closest("[data-copy]");
  if (copied) {
    const source = document.getElementById(copied.dataset.copy);
    copy(source.value ?? source.textContent, "Copied.", source);
  }
});

document.addEventListener("keydown", (event) => {
  menuKeys(event);
  const search = $("#search");
  const inField = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && search && !inField && !event.metaKey && !event.ctrlKey) {
    event.preventDefault();
    search.focus();
  }
  if (event.key === "Escape" && event.target === search && search.value) {
    search.value = "";
    search.dispatchEvent(new Event("input", { bubbles: true }));
  }
});

document.addEventListener("focusin", makeWay);

document.addEventListener("focusout", (event) => {
  // An open list would cover the next focused element.
  const list = event.target.closest(".filter details");
  // Clicking the label of a checkbox moves the focus out of the list only briefly.
  if (list && event.relatedTarget && !list.contains(event.relatedTarget)) afterPress(() => { list.open &&= list.contains(document.activeElement); });
  if (event.target.matches("input:not([type=hidden])")) afterPress(() => check(event.target));
});

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-search]");
  if (form) {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const wanted = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
      refresh(`${form.action}?${wanted}`, true);
    }, event.target.type === "search" ? 350 : 0);
  }
  if (event.target.matches("[data-all]")) {
    for (const box of $$("input[name=id]:not(:disabled)")) box.checked = event.target.checked;
  }
  if (event.target.matches("[data-all], input[name=id]")) countTicks();
  // Confirmed as saved, or not.
  if (event.target.matches("[data-once] [type=checkbox]")) event.target.closest("[data-once]").toggleAttribute("data-kept", event.target.checked);
});

function countTicks() {
  const count = $$("input[name=id]:checked").length;
  const bar = $("#bar");
  if (!bar) return;
  bar.classList.toggle("shown", count > 0);
  $("output", bar).textContent = `${count} selected`;
}

// Fields are empty only after the event.
document.addEventListener("reset", () => setTimeout(countTicks));

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("form[data-dialog]")) {
    event.preventDefault();
    open(event.submitter, `${form.action}?${new URLSearchParams(new FormData(form, event.submitter))}`);
    return;
  }
  if (form.closest("dialog") || form.method !== "post") return;
  if (form.dataset.busy) { event.preventDefault(); return; }
  form.dataset.busy = "yes";
  event.submitter?.classList.add("busy");
});

addEventListener("pageshow", (event) => {
  for (const form of $$("form[data-busy]")) delete form.dataset.busy;
  // A page from the back/forward cache may show what its reader may no longer see.
  if (event.persisted) location.reload();
});
// A fragment of the same page: input is kept.
addEventListener("popstate", () => { if (here() !== shownAt) location.reload(); });
addEventListener("beforeunload", (event) => { if (unkept(document)) event.preventDefault(); });
addEventListener("offline", () => toast("You are offline. What you see may be out of date.", true));

// A link from a mail has its code in the fragment, which is not sent to servers: it is put into the form.
function takeCode() {
  const code = location.hash.slice(1);
  const slot = $("[data-fragment]");
  // A fragment that is an element id is not a code.
  if (!slot || !code || document.getElementById(code)) return;
  slot.value = code;
  // The code is hidden; one that is refused becomes visible.
  slot.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  if ("send" in slot.dataset) slot.form.requestSubmit();
}

takeCode();
// A link to the current page loads nothing.
addEventListener("hashchange", takeCode);

document.documentElement.classList.add("scripted");
for (const button of $$(".opens")) button.hidden = false;

// Pending mail: the page refreshes until it is delivered.
setInterval(() => {
  if ($("#list[data-unsettled]") && !document.hidden && !inHand()) refresh(location.href, false);
}, 3000);

ready(document);
const told = $("#told .told p");
if (told && document.body.hasAttribute("data-live")) toast(told.textContent);
$("#faults")?.focus();

// Shows changes of others within moments; closes the page when the session has ended.
if (document.body.hasAttribute("data-live") && "EventSource" in window) {
  const events = new EventSource(`${base}/live`);
  events.addEventListener("changed", lookAgain);
  // What changed before the stream began, or while it was broken.
  events.addEventListener("begins", ({ data }) => {
    if (document.body.dataset.revision !== data) lookAgain();
    document.body.dataset.revision = data;
  });
  events.addEventListener("open", () => { document.body.dataset.live = "open"; });
  // The stream ends with the session, or with the network: one more request shows which. A request
  // here, or in another window, may just have replaced the session's token.
  events.addEventListener("error", async () => {
    await Promise.allSettled([...asked]);
    if ($("form[data-busy]") || !(await isGone())) return;
    await new Promise((done) => setTimeout(done, 500));
    if (!$("form[data-busy]") && (await isGone())) leave();
  });
  addEventListener("pagehide", () => events.close());
}
