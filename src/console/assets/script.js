// What a page can do beyond HTML: dialogs over a page, search while one types, changes by others,
// toasts, times in the reader's own zone. Every form and link works without it. Keeps nothing.
"use strict";

const base = document.body.dataset.base;
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const english = "en-GB";

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
  let tray = $("#toasts");
  if (!tray) {
    tray = document.createElement("div");
    tray.id = "toasts";
    document.body.append(tray);
  }
  const box = document.createElement("div");
  box.className = wrong ? "toast error" : "toast";
  box.setAttribute("role", wrong ? "alert" : "status");
  const text = document.createElement("p");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "quiet";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  close.addEventListener("click", () => box.remove());
  box.append(text, close);
  tray.append(box);
  while (tray.children.length > 3) tray.firstElementChild.remove();
  if (wrong) return;
  let left = setTimeout(() => box.remove(), 8000);
  const stay = () => clearTimeout(left);
  const go = () => { stay(); left = setTimeout(() => box.remove(), 6000); };
  for (const event of ["pointerenter", "focusin"]) box.addEventListener(event, stay);
  for (const event of ["pointerleave", "focusout"]) box.addEventListener(event, go);
}

// --- asking the server -------------------------------------------------------------------------

// A page, or null where there is none: the reader is told, and nothing typed is lost.
async function ask(address, options) {
  try {
    const answer = await fetch(address, { ...options, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const over = answer.status === 401 || new URL(answer.url).pathname === `${base}/sign-in`;
    if (over && document.body.hasAttribute("data-live")) {
      leave();
      return null;
    }
    return { address: answer.url, moved: answer.redirected, page };
  } catch {
    toast("The server cannot be reached. Nothing was lost: try again when you are online.", true);
    return null;
  }
}

// Nothing of the account stays on the screen of whoever is no longer signed in.
function leave() {
  document.body.replaceChildren();
  location.replace(`${base}/signed-out`);
}

// --- the page ----------------------------------------------------------------------------------

function show({ address, page }, focus) {
  const told = $("#told .told p", page)?.textContent;
  $("#main").replaceWith($("#main", page));
  document.title = page.title;
  history.pushState(null, "", address);
  ready(document);
  const place = focus && $(focus);
  (place ?? $("h1")).setAttribute("tabindex", place?.getAttribute("tabindex") ?? "-1");
  (place ?? $("h1")).focus();
  if (told) toast(told);
}

// The rows alone, with the reader's place in them kept.
async function refresh(address, push) {
  const list = $("#list");
  if (!list) return;
  const slow = setTimeout(() => list.setAttribute("aria-busy", "true"), 200);
  const answer = await ask(address);
  clearTimeout(slow);
  list.removeAttribute("aria-busy");
  const fresh = answer && $("#list", answer.page);
  if (!fresh) return;
  const at = document.activeElement?.id;
  const chosen = new Set($$("input[name=id]:checked", list).map((box) => box.value));
  list.replaceWith(fresh);
  for (const part of [".tabs", "#count"]) {
    const [old, now] = [$(part), $(part, answer.page)];
    if (old && now && old.innerHTML !== now.innerHTML) old.innerHTML = now.innerHTML;
  }
  for (const box of $$("input[name=id]", fresh)) box.checked = chosen.has(box.value);
  if (push) history.replaceState(null, "", address);
  ready($("#list"));
  if (at && document.activeElement === document.body) document.getElementById(at)?.focus();
}

// --- dialogs -----------------------------------------------------------------------------------

let opener = null;

async function open(from, address) {
  const answer = await ask(address);
  if (!answer) return;
  const sheet = $("#sheet", answer.page);
  if (!sheet) { location.assign(answer.address); return; }
  opener = from.id || from.dataset.back || null;
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "sheet-title");
  if ($(".danger", sheet)) dialog.setAttribute("role", "alertdialog");
  dialog.append(sheet);
  document.body.append(dialog);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(dialog); });
  dialog.addEventListener("close", () => {
    dialog.remove();
    const back = from.isConnected ? from : opener && document.getElementById(opener);
    back?.focus();
  });
  dialog.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    event.preventDefault();
    send(dialog, event);
  });
  ready(dialog);
  dialog.showModal();
  first(dialog).focus();
}

const first = (dialog) =>
  $("#faults", dialog) ?? $("[autofocus]", dialog) ?? $("input:not([type=hidden], :disabled, [tabindex='-1']), select, textarea", dialog) ?? $("button", dialog);

const typed = (dialog) => $$("input:not([type=hidden]), textarea", dialog).some((field) =>
  field.type === "radio" || field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);

function close(dialog) {
  if (typed(dialog) && !confirm("Close this, and lose what you typed?")) return;
  dialog.close();
}

async function send(dialog, event) {
  const form = event.target;
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  const button = event.submitter;
  button?.setAttribute("aria-disabled", "true");
  button?.classList.add("busy");
  const body = new URLSearchParams(new FormData(form, button ?? undefined));
  const answer = await ask(form.action, { method: "POST", body });
  delete form.dataset.busy;
  button?.removeAttribute("aria-disabled");
  button?.classList.remove("busy");
  if (!answer) return;
  const sheet = $("#sheet", answer.page);
  if (sheet && !answer.moved) {
    dialog.replaceChildren(sheet);
    ready(dialog);
    first(dialog).focus();
    return;
  }
  dialog.remove();
  show(answer, opener && document.getElementById(opener) ? `#${CSS.escape(opener)}` : null);
}

// --- menus (APG, menu button) ------------------------------------------------------------------

// The items of a row's menu: the row names them by key, the page says what each is.
function furnish(menu) {
  const button = $("[aria-haspopup]", menu);
  const list = document.createElement("ul");
  list.setAttribute("role", "menu");
  list.setAttribute("aria-label", button.getAttribute("aria-label"));
  for (const told of menu.dataset.deeds.split(";")) {
    const [key, why] = told.split("=");
    const item = $(`[data-key="${key}"]`, $("#deeds").content).cloneNode(true);
    const { rest, whole } = item.dataset;
    item.href = base + (whole === undefined ? menu.dataset.of : "") + rest;
    item.dataset.back = button.id;
    if (why) {
      const reason = document.createElement("span");
      reason.className = "soft";
      reason.textContent = why;
      item.append(reason);
      item.removeAttribute("href");
      item.removeAttribute("data-dialog");
      item.setAttribute("aria-disabled", "true");
    }
    item.setAttribute("role", "menuitem");
    item.tabIndex = -1;
    const line = document.createElement("li");
    line.setAttribute("role", "none");
    line.append(item);
    list.append(line);
  }
  menu.append(list);
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
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet show";
  button.textContent = "Show";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-label", "Show the password");
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.textContent = shown ? "Show" : "Hide";
    button.setAttribute("aria-pressed", String(!shown));
  });
  const both = document.createElement("div");
  both.className = "with";
  field.before(both);
  both.append(field, button);
}

// Length is what counts (NIST SP 800-63B-4, appendix A); what is judged is judged by the server.
function strength(field) {
  const meter = document.createElement("meter");
  meter.max = 24;
  meter.low = 12;
  meter.high = 16;
  meter.optimum = 24;
  meter.setAttribute("aria-label", "Strength of the password");
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
    box = document.createElement("span");
    box.className = "wrong";
    box.id = id;
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
    fault(field, "This is not an email address: write it like asha@example.com.");
    return;
  }
  fault(field, null);
  const domain = field.type === "email" && field.value.split("@")[1]?.toLowerCase();
  const near = domain && domains.find((known) => known !== domain && distance(domain, known) <= 2);
  const id = `${field.id}-near`;
  document.getElementById(id)?.remove();
  if (near && !domains.includes(domain)) {
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.id = id;
    hint.setAttribute("role", "status");
    hint.textContent = `${domain} – did you mean ${near}?`;
    field.closest(".field").append(hint);
  }
}

// --- recovery codes ----------------------------------------------------------------------------

function keepCodes(list) {
  const text = () => $$("li", list).map((item) => item.textContent.trim()).join("\n");
  const row = document.createElement("div");
  row.className = "row";
  const button = (name, act) => {
    const one = document.createElement("button");
    one.type = "button";
    one.textContent = name;
    one.addEventListener("click", act);
    row.append(one);
  };
  button("Copy", async () => {
    await navigator.clipboard.writeText(text());
    toast("Copied. Paste them where you keep passwords.");
  });
  button("Download", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text()}\n`], { type: "text/plain" }));
    link.download = "kwic-recovery-codes.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  button("Print", () => print());
  list.after(row);
}

// --- bringing it to a page ---------------------------------------------------------------------

function ready(root) {
  localise(root);
  for (const field of $$("[data-show]", root)) if (!field.closest(".with")) showPassword(field);
  for (const field of $$("[data-strength]", root)) strength(field);
  for (const list of $$(".codes", root)) keepCodes(list);
  for (const menu of $$(".menu", root)) {
    if (!$("[role=menu]", menu)) furnish(menu);
    $("[aria-haspopup]", menu).hidden = false;
    $("[role=menu]", menu).hidden = true;
  }
  for (const box of $$("[data-all]", root)) box.hidden = false;
  for (const copied of $$("[data-copy]", root)) copied.hidden = false;
}

let waiting = 0;

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
    navigator.clipboard.writeText(source.value ?? source.textContent).then(() => toast("Copied."));
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

document.addEventListener("focusout", (event) => {
  if (event.target.matches("input:not([type=hidden])")) check(event.target);
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
  if (event.target.matches("[data-all], input[name=id]")) {
    const count = $$("input[name=id]:checked").length;
    const bar = $("#bar");
    if (bar) {
      bar.classList.toggle("shown", count > 0);
      $("output", bar).textContent = `${count} selected`;
    }
  }
});

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
addEventListener("popstate", () => location.reload());
addEventListener("offline", () => toast("You are offline. What you see may be out of date.", true));

// A link from a mail carries its code after the #, which no server is sent: it is put into the form.
const code = location.hash.slice(1);
const slot = $("[data-fragment]");
if (slot && code) {
  slot.value = code;
  // It says nothing to its reader; a code that does not open comes back in sight.
  slot.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  if ("send" in slot.dataset) slot.form.requestSubmit();
}

document.documentElement.classList.add("scripted");
for (const button of $$(".opens")) button.hidden = false;

// Mail on its way: the page looks again until it has arrived.
setInterval(() => {
  if ($("#list[data-unsettled]") && !document.hidden && !$("dialog[open]")) refresh(location.href, false);
}, 3000);

ready(document);
const told = $("#told .told p");
if (told && document.body.hasAttribute("data-live")) toast(told.textContent);
$("#faults")?.focus();

// What others change is shown within moments; a row that is being worked on stays where it is.
if (document.body.hasAttribute("data-live") && "EventSource" in window) {
  const events = new EventSource(`${base}/api/v1/events`);
  let soon = 0;
  const again = () => {
    clearTimeout(soon);
    soon = setTimeout(() => {
      const busy = $("dialog[open]") || $(".menu [aria-expanded=true]") || $("input[name=id]:checked");
      busy ? again() : refresh(location.href, false);
    }, 700);
  };
  for (const name of ["member_changed", "member_removed"]) events.addEventListener(name, again);
  // The stream ends with the session: one more request tells which of the two it was.
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) ask(`${base}/me`);
  });
  addEventListener("pagehide", () => events.close());
}
