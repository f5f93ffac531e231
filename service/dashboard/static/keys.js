// API keys: creation, rotation and revocation. Drafts survive an expired session; secrets are stored nowhere.
import { signInPath } from "./addresses.js";
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { read, showApplicable } from "./form_json.js";
import { clearErrors, focusFirst, showErrors } from "./field_errors.js";
import { copyText } from "./clipboard.js";
import { dropDraft, storeDraft, storedDraft } from "./drafts.js";
import { nodesOf } from "./number_formats.js";
import { follow, refresh } from "./live.js";

const JSON_BODY = { "Content-Type": "application/json" };
const MOST_HOURS = 720;
const form = document.getElementById("new-key");
const dialog = document.getElementById("rotation");
const rotating = document.getElementById("rotate");
const place = (id) => document.getElementById(id);

function say(where, text) {
  where.replaceChildren(...nodesOf(text));
  where.hidden = !text;
}

// Shows errors at their fields, and the others at the form.
function refuse(at, where, error) {
  const rest = error.problem?.errors ? showErrors(at, error.problem.errors) : [];
  const whole = rest.map((each) => each.detail).join("; ") || (error.problem?.errors ? "" : error.message);
  say(where, whole);
  if (error.status === 401) where.append(" ", signIn());
  focusFirst(at);
}

function signIn() {
  return Object.assign(document.createElement("a"), { href: signInPath(), textContent: "Sign in again" });
}

function show(key, title) {
  place("secret-title").textContent = title;
  place("secret-text").value = key.key;
  place("secret-copied").textContent = "";
  place("secret").hidden = false;
  place("secret").scrollIntoView({ block: "nearest" });
  place("secret-text").focus();
  place("secret-text").select();
}

place("secret-copy").addEventListener("click", () => copyText(place("secret-text"), place("secret-copied")));

place("secret-done").addEventListener("click", () => {
  place("secret-text").value = "";
  place("secret").hidden = true;
  place("content").focus();
});

// A new key

const typed = () => Object.fromEntries([...form.elements].filter((each) => each.id && each.name).map((each) => [each.id, each.type === "checkbox" ? each.checked : each.value]));

function begin(values) {
  for (const [id, value] of Object.entries(values ?? {})) {
    if (typeof value === "boolean") place(id).checked = value;
    else place(id).value = value;
  }
  showApplicable(form);
}

// Returns the error of the expiry fields: the API takes a timestamp and cannot name days or a missing date.
function wrongEnd() {
  const { ends, days, day } = typed();
  if (ends === "days" && !(Number(days) > 0)) return "enter a number of days, such as 90";
  return ends === "day" && !day ? "choose the last day" : null;
}

async function create(event) {
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  clearErrors(form);
  say(place("new-failure"), "");
  const wrong = wrongEnd();
  if (wrong) {
    refuse(form, place("new-failure"), { problem: { errors: [{ pointer: "/expires_at", detail: wrong }] } });
    return;
  }
  button.disabled = true;
  try {
    const body = JSON.stringify(read(form, {}));
    const answer = await callApi("POST", "/v1/keys", { body, headers: JSON_BODY });
    const made = await answer.json();
    dropDraft();
    form.reset();
    showApplicable(form);
    place("new").open = false;
    show(made, `Key ${made.name} created`);
    await refresh();
  } catch (error) {
    refuse(form, place("new-failure"), error);
  }
  button.disabled = false;
}

if (form) {
  const draft = storedDraft();
  place("new").open = draft !== null;
  begin(draft?.body);
  form.addEventListener("submit", create);
  form.addEventListener("input", () => {
    showApplicable(form);
    storeDraft(typed());
  });
}

// Rotation

let rotated = null;

function askToRotate({ rotate: id, name, own }) {
  rotated = { id, name };
  clearErrors(rotating);
  rotating.reset();
  say(place("rotation-failure"), "");
  place("rotation-title").textContent = `Rotate the secret of ${name}?`;
  const ending = own === "yes" ? " You are signed in with this key: sign in again with the new secret once the old one expires." : "";
  place("rotation-text").textContent = `The key keeps its id and scopes. Its clients need the new secret, which is shown once.${ending}`;
  dialog.showModal();
}

async function rotate(event) {
  event.preventDefault();
  const button = rotating.querySelector(".primary");
  if (button.disabled) return;
  clearErrors(rotating);
  say(place("rotation-failure"), "");
  const hours = Number(rotating.elements["/overlap_seconds"].value || "none");
  if (!(hours >= 0 && hours <= MOST_HOURS)) { // the API's error is in seconds
    refuse(rotating, place("rotation-failure"), { problem: { errors: [{ pointer: "/overlap_seconds", detail: `enter a number of hours, 0 to ${MOST_HOURS}` }] } });
    return;
  }
  button.disabled = true;
  try {
    const answer = await callApi("POST", `/v1/keys/${rotated.id}/rotate`, { body: JSON.stringify(read(rotating, {})), headers: JSON_BODY });
    dialog.close();
    show(await answer.json(), `New secret of ${rotated.name}`);
    await refresh();
  } catch (error) {
    refuse(rotating, place("rotation-failure"), error);
  }
  button.disabled = false;
}

rotating.addEventListener("submit", rotate);
place("rotation-no").addEventListener("click", () => dialog.close());

// Revocation

async function revoke({ revoke: id, name, own }) {
  const ending = own === "yes" ? " You are signed in with this key: your session ends with it, here and in every other browser." : "";
  if (!(await confirmAction(`Revoke ${name}?`, `It is rejected from the next request on. This cannot be undone.${ending}`, "Revoke the key"))) return;
  showFailure("");
  place("done").textContent = "";
  try {
    await callApi("POST", `/v1/keys/${id}/revoke`);
    place("done").textContent = `${name} is revoked.`;
  } catch (error) {
    showFailure(error.message);
    place("failure").scrollIntoView({ block: "nearest" });
  }
  await refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-revoke], [data-rotate]");
  if (button?.dataset.revoke) revoke(button.dataset);
  else if (button) askToRotate(button.dataset);
});

follow();
