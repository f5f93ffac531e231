// Fires a trigger or shows a dry run, and shows the equivalent curl command.
import { BASE, pathOf } from "./addresses.js";
import { callApi } from "./api_calls.js";
import { copyText } from "./clipboard.js";
import { clearErrors, showErrors } from "./field_errors.js";
import { element } from "./number_formats.js";
import { syntaxErrors } from "./json_fields.js";
import { refresh } from "./live.js";
import { curlOf } from "./requests.js";

const form = document.getElementById("fire");
const field = document.getElementById("event");
const place = document.getElementById("fired");
const PROOFS = { key: "Authorization: Bearer $DSNOT_API_KEY", secret: "X-Webhook-Secret: $TRIGGER_SECRET" };
let proof = "key";
let isBusy = false;

const typeOf = (text) => (/"specversion"/.test(text) ? "application/cloudevents+json" : "application/json");

function show() {
  const text = field.value.trim();
  document.getElementById("curl").textContent = curlOf(form.dataset.path, text, [PROOFS[proof], `Content-Type: ${typeOf(text)}`]);
}

async function fire(only) {
  const query = only ? "?validate_only=true" : "";
  const answer = await callApi("POST", `${form.dataset.path}${query}`, { body: field.value, headers: { "Content-Type": typeOf(field.value) } });
  const result = await answer.json();
  place.replaceChildren(...(only ? planned(result) : done(result, answer.status)));
}

function planned(plan) {
  if (!plan.matched) return [element("p", "The filter drops this event: nothing would start.")];
  if (plan.duplicate_of) return [element("p", "This event has already started its job or sweep: nothing would start.")];
  const spec = element("pre", JSON.stringify(plan.spec, null, 2));
  spec.tabIndex = 0;
  spec.setAttribute("aria-label", "Body of what would start");
  return [element("p", "This would start:"), spec];
}

function done(fired, status) {
  if (fired.outcome === "filtered") return [element("p", "The filter dropped this event: nothing was started.")];
  const kind = fired.sweep_id ? "sweep" : "job";
  const id = fired.sweep_id ?? fired.job_id;
  const text = element("p", `${status === 201 ? "Started" : "The same event has already started"} ${id ? `${kind} ` : "a job or sweep "}`);
  text.append(id ? Object.assign(element("a", id), { href: pathOf(`/${kind}s/${id}`) }) : "(deleted)");
  return [text];
}

function refused({ message, problem }) {
  const lines = (problem?.errors ?? []).map((each) => element("li", `${each.pointer} ${each.detail}`));
  const list = document.createElement("ul");
  list.append(...lines);
  place.replaceChildren(element("p", message, "error"), ...(lines.length > 1 ? [list] : []));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isBusy) return;
  place.replaceChildren();
  clearErrors(form);
  const errors = syntaxErrors(form);
  if (errors.length) {
    showErrors(form, errors);
    field.focus();
    return;
  }
  isBusy = true;
  await fire(event.submitter?.value !== "").catch(refused);
  isBusy = false;
  await refresh();
});

field.addEventListener("input", show);
document.addEventListener("click", (event) => {
  const way = event.target.closest("[data-proof]");
  if (!way) return;
  proof = way.dataset.proof;
  for (const each of document.querySelectorAll("[data-proof]")) each.setAttribute("aria-pressed", String(each === way));
  show();
});
document.getElementById("copy").addEventListener("click", () => copyText(document.getElementById("curl"), document.getElementById("copied")));
document.getElementById("fire-address").textContent = BASE + form.dataset.path;
show();
form.querySelector("fieldset").disabled = false;
