// Requests a passkey from the browser: a button has the challenge, and the response goes into the
// button's form, which is then submitted. Loaded only on pages with such a button. Stores nothing.
const keys = window.PublicKeyCredential;
const canAsk = keys && "parseCreationOptionsFromJSON" in keys && "toJSON" in keys.prototype;

function tell(form, trouble) {
  for (const told of form.querySelectorAll("[data-trouble]")) told.hidden = told.dataset.trouble !== trouble;
}

// Passes the page's challenge to the browser, and its response to the form.
async function askPasskey(form, button) {
  tell(form, null);
  if (!canAsk) { tell(form, "unable"); return; }
  form.dataset.busy = "yes";
  button.classList.add("busy");
  const asked = JSON.parse(button.dataset.options).publicKey;
  const verb = button.dataset.passkey;
  const parse = verb === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
  try {
    const made = await navigator.credentials[verb]({ publicKey: keys[parse](asked) });
    form.elements.credential.value = JSON.stringify(made);
  } catch ({ name }) {
    tell(form, { NotAllowedError: "ended", AbortError: "ended", InvalidStateError: "known" }[name] ?? "unable");
  }
  delete form.dataset.busy;
  button.classList.remove("busy");
  if (form.elements.credential.value) form.requestSubmit(button);
}

// In the capture phase: there is nothing to send yet.
document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (!button?.dataset.passkey || form.elements.credential.value) return;
  event.preventDefault();
  event.stopPropagation();
  if (!form.dataset.busy) askPasskey(form, button);
}, true);

// Sets up a button.
export function furnish(button) {
  button.hidden = !canAsk && button.dataset.passkey === "get";
  button.form.elements.credential.value = "";
}
