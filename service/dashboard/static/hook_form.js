// Form of a webhook or trigger: submitted to the API; errors are shown at the fields, and the input is kept as a draft.
import { pathOf } from "./addresses.js";
import { callApi, showFailure } from "./api_calls.js";
import { controlsOf, read } from "./form_json.js";
import { clearErrors, focusFirst, showErrors } from "./field_errors.js";
import { dropDraft, storeDraft, storedDraft } from "./drafts.js";
import { syntaxErrors } from "./json_fields.js";
import { showSecret } from "./new_secret.js";

const form = document.getElementById("hook");
const { method, path, page } = form.dataset;
const isBox = (control) => control.type === "checkbox";
const typed = () => controlsOf(form).map((control) => (isBox(control) ? control.checked : control.value));

function refuse(errors) {
  const rest = showErrors(form, errors).map((each) => `${each.pointer ?? ""} ${each.detail}`.trim());
  showFailure(["Not saved: correct the marked fields.", ...rest].join(" "));
  focusFirst(form);
}

async function send() {
  const answer = await callApi(method, path, { body: JSON.stringify(read(form, {})), headers: { "Content-Type": "application/json" } });
  const made = await answer.json();
  dropDraft();
  if (made.secret && made.format !== "slack") { // chat services verify no signature
    form.hidden = true;
    document.getElementById("restored").hidden = true;
    showSecret(made, `${page}/${made.id}`);
  } else location.assign(pathOf(`${page}/${made.id}`));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("send");
  if (button.disabled) return;
  showFailure("");
  clearErrors(form);
  const errors = syntaxErrors(form);
  if (errors.length) return refuse(errors);
  button.disabled = true;
  try {
    await send();
  } catch (error) {
    if (error.problem?.errors) refuse(error.problem.errors);
    else showFailure(`${error.message} Your input is kept.`);
  }
  button.disabled = false;
});

// an unedited template follows the selected event source
const templates = form.dataset.templates && JSON.parse(form.dataset.templates);
form.addEventListener("change", (event) => {
  const { "/source": source, "/template": template } = form.elements;
  if (templates && event.target === source && Object.values(templates).includes(template.value)) template.value = templates[source.value];
  storeDraft(typed());
});
form.addEventListener("input", () => storeDraft(typed()));

document.getElementById("afresh").addEventListener("click", () => {
  dropDraft();
  form.reset();
  clearErrors(form);
  showFailure("");
  document.getElementById("restored").hidden = true;
});

const draft = storedDraft();
if (draft) {
  controlsOf(form).forEach((control, at) => (isBox(control) ? (control.checked = draft.body[at]) : (control.value = draft.body[at])));
  document.getElementById("restored").hidden = false;
}
form.querySelector("fieldset").disabled = false; // enabled last, so that no early input is lost
