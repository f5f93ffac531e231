// Buttons that call the API. Request and confirmation text are in their data attributes; `ticked` is appended to the path if the
// box `choice` of the confirmation is ticked.
import { pathOf } from "./addresses.js";
import { callApi, confirmAction, isTicked, showFailure } from "./api_calls.js";
import { refresh } from "./live.js";
import { showSecret } from "./new_secret.js";

const JSON_BODY = { "Content-Type": "application/json" };
const LOSS = ["Revoke the old secret now?", "Clients that still use it are rejected immediately. For a transition without interruption, keep it valid for a while.", "Revoke it now"];
let isBusy = false;

const say = (text) => (document.getElementById("said").textContent = text);

// Runs one action at a time, so that a double click has one effect. `work` resolves to true if it leaves the page.
async function alone(work) {
  if (isBusy) return;
  isBusy = true;
  showFailure("");
  say("");
  const isLeaving = await work().catch((error) => showFailure(error.message));
  isBusy = false;
  if (!isLeaving) await refresh();
}

function act({ dataset: { method, path, body, title, text, yes, choice, ticked, then, said } }) {
  return alone(async () => {
    if (title && !(await confirmAction(title, text, yes, choice))) return false;
    await callApi(method, path + (choice && isTicked() ? ticked : ""), body ? { body, headers: JSON_BODY } : {});
    if (then) location.assign(pathOf(then));
    else say(said);
    return Boolean(then);
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-path]");
  if (button) act(button);
});

const rotation = document.getElementById("rotate");
rotation?.addEventListener("submit", (event) => {
  event.preventDefault();
  const seconds = Number(document.getElementById("overlap-seconds").value);
  alone(async () => {
    if (seconds === 0 && !(await confirmAction(...LOSS))) return;
    const answer = await callApi("POST", event.target.dataset.path, { body: JSON.stringify({ overlap_seconds: seconds }), headers: JSON_BODY });
    showSecret(await answer.json());
  });
});

if (rotation) rotation.querySelector("fieldset").disabled = false;

for (const id of ["state", "type", "outcome"]) {
  document.getElementById(id)?.addEventListener("change", (event) => event.target.form.requestSubmit());
}
