// What a page can do beyond HTML: dialogs over a page, search while one types, changes by others,
// toasts, times in the reader's own zone. Every form and link works without it. Keeps nothing.
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

// The page that is shown, whatever place on it is named.
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
  // Below an open dialog nothing can be read or pressed; over its buttons it would be in the way.
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

// What has the focus is not covered (WCAG 2.2, 2.4.11).
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

// A page, or null where there is none: the reader is told, and nothing typed is lost.
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

// Whether the session is over; not where nobody answers.
async function isGone() {
  const stop = new AbortController();
  const answer = await fetch(`${base}/live`, { signal: stop.signal, redirect: "manual" }).catch(() => null);
  stop.abort();
  return answer !== null && (answer.status === 401 || answer.type === "opaqueredirect");
}

// Nothing of the account stays on the screen of whoever is no longer signed in.
function leave() {
  // A person who is signed out is asked nothing.
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

// What the reader has in hand stays where it is.
const inHand = () =>
  $("dialog[open]") || $(".menu [aria-expanded=true]") || $("input[name=id]:checked");

// While something is pressed: settled when the press is over and its click was heard. Whatever moves
// the page waits for it, so that what is pressed stays under the finger.
let press = null;
let over = null;
const pressed = () => { press ??= new Promise((done) => { over = done; }); };
const letGo = () => setTimeout(() => { over?.(); press = over = null; });
for (const down of ["pointerdown", "mousedown"]) addEventListener(down, pressed, true);
for (const up of ["pointerup", "mouseup", "pointercancel"]) addEventListener(up, letGo, true);
const afterPress = (then) => (press ? press.then(then) : then());

let soon = 0;
let newest = 0;

// Shows what others changed, as soon as nothing is in hand.
function lookAgain() {
  clearTimeout(soon);
  soon = setTimeout(() => (inHand() ? lookAgain() : refresh(location.href, false)), 700);
}

// The rows alone, with the reader's place in them kept; `asked` by the reader, or not.
async function refresh(address, asked) {
  const list = $("#list");
  if (!list) return;
  const turn = asked ? (newest += 1) : newest;
  // Who asked for nothing reads on, and nothing fades.
  const slow = asked ? setTimeout(() => list.setAttribute("aria-busy", "true"), 200) : 0;
  const answer = await ask(address);
  clearTimeout(slow);
  list.removeAttribute("aria-busy");
  const fresh = answer && $("#list", answer.page);
  if (!fresh) return;
  await press;
  // The reader went on to something else, and this comes too late.
  if (turn !== newest || (!asked && address !== location.href)) return;
  // Something may have been taken in hand while the answer was on its way.
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

// Where the focus goes back to: to what opened the dialog, or to its replacement.
let back = () => null;
let opening = false;

async function open(from, address) {
  // A second press before the first is answered.
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
  // Escape is heard by us alone: a browser would heed an objection to it only once.
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

// Cards to choose from are long: to begin at one of them would hide what they are about.
function first(dialog) {
  const begin = field(dialog);
  if (begin.type !== "radio") return begin;
  const title = $("h1", dialog);
  title.tabIndex = -1;
  return title;
}

// What was told in a dialog is told on the page below it.
function putAway(dialog) {
  const tray = $("#toasts", dialog);
  if (tray) document.body.append(tray);
  dialog.remove();
}

// What is shown once and was not kept yet: copied, saved, or said to be.
const unkept = (root) => $("[data-once]:not([data-kept])", root);
const keep = (part) => part.closest("[data-once]")?.setAttribute("data-kept", "");
const notKept = "This is shown only once. Close it without a copy?";

const typed = (dialog) => $$("input:not([type=hidden]), textarea", dialog).some((field) =>
  field.type === "radio" || field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);

function close(dialog) {
  const lost = $("[data-once]", dialog) ? unkept(dialog) && notKept : typed(dialog) && "Close this and lose what you entered?";
  if (!lost || confirm(lost)) dialog.close();
}

// Goes on from a dialog to a page, or to what takes the dialog's place.
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

// The menu of a row in the place of its links: the row names its menu by number, the page says what is
// in each, by key, and what each key is.
function furnish(cell) {
  const all = $("#deeds");
  const row = cell.parentNode;
  // The address of the row's own page, without the way back that a link to it carries.
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
  const items = all.dataset.menus.split("|")[cell.dataset.deeds].split(";").map(item);
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

// --- what is typed -----------------------------------------------------------------------------

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

// Length is what counts (NIST SP 800-63B-4, appendix A); what is judged is judged by the server.
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

// Checked when the reader goes on to the next field, and again by the server.
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
    toast("Your browser doesn't allow copying here. Select the text and press Ctrl+C.", true);
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

// --- bringing it to a page ---------------------------------------------------------------------

function ready(root) {
  localise(root);
  for (const field of $$("[data-show]", root)) if (!field.closest(".with")) showPassword(field);
  for (const field of $$("[data-strength]", root)) strength(field);
  for (const list of $$(".codes", root)) keepCodes(list);
  for (const cell of $$("[data-deeds]", root)) furnish(cell);
  for (const button of $$("[aria-haspopup]", root)) button.hidden = false;
  // Where the reader is in a row is known by name when the rows come anew.
  for (const link of $$("tbody th a", root)) link.id ||= link.getAttribute("href");
  for (const box of $$("input[name=id]", root)) box.id = `tick-${box.value}`;
  for (const box of $$("[data-all]", root)) box.hidden = false;
  for (const asks of $$("[data-passkey]", root)) import(asks.dataset.by).then((it) => it.furnish(asks));
  for (const copied of $$("[data-copy]", root)) copied.hidden = false;
}

let waiting = 0;

// The second half of a double click answers no question that took the place of the first.
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
  // A list that is left open would cover what has the focus next.
  const list = event.target.closest(".filter details");
  // The press of a word beside a box moves the focus out of the list for a moment only.
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
  // Said to be kept, or not after all.
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
  // A page from the browser's memory may show what its reader may no longer see.
  if (event.persisted) location.reload();
});
// A place on the same page is no other page: what was typed there stays.
addEventListener("popstate", () => { if (here() !== shownAt) location.reload(); });
addEventListener("beforeunload", (event) => { if (unkept(document)) event.preventDefault(); });
addEventListener("offline", () => toast("You are offline. What you see may be out of date.", true));

// A link from a mail carries its code after the #, which no server is sent: it is put into the form.
function takeCode() {
  const code = location.hash.slice(1);
  const slot = $("[data-fragment]");
  // What names a place on the page is no code.
  if (!slot || !code || document.getElementById(code)) return;
  slot.value = code;
  // It says nothing to its reader; a code that does not open comes back in sight.
  slot.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  if ("send" in slot.dataset) slot.form.requestSubmit();
}

takeCode();
// Opened over the page that it leads to, a link loads nothing.
addEventListener("hashchange", takeCode);

document.documentElement.classList.add("scripted");
for (const button of $$(".opens")) button.hidden = false;

// Mail on its way: the page looks again until it has arrived.
setInterval(() => {
  if ($("#list[data-unsettled]") && !document.hidden && !inHand()) refresh(location.href, false);
}, 3000);

ready(document);
const told = $("#told .told p");
if (told && document.body.hasAttribute("data-live")) toast(told.textContent);
$("#faults")?.focus();

// What others change is shown within moments; and a person whose session has ended is signed out at once.
if (document.body.hasAttribute("data-live") && "EventSource" in window) {
  const events = new EventSource(`${base}/live`);
  events.addEventListener("changed", lookAgain);
  events.addEventListener("open", () => { document.body.dataset.live = "open"; });
  // The stream ends with the session, or with the network: one more request tells which. What was
  // asked for here, or in another window, may have given the session a new token on its way.
  events.addEventListener("error", async () => {
    await Promise.allSettled([...asked]);
    if ($("form[data-busy]") || !(await isGone())) return;
    await new Promise((done) => setTimeout(done, 500));
    if (!$("form[data-busy]") && (await isGone())) leave();
  });
  addEventListener("pagehide", () => events.close());
}
