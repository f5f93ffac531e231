// Form of a new job: every change is planned by the API, whose errors are shown at the fields.
import { pathOf, signInPath } from "./addresses.js";
import { callApi, showFailure } from "./api_calls.js";
import { fill, read, trimmed } from "./form_json.js";
import { clearErrors, focusFirst, showErrors } from "./field_errors.js";
import { copyText } from "./clipboard.js";
import { dropDraft, storeDraft, storedDraft } from "./drafts.js";
import { filterList } from "./list_filter.js";
import { describeModel, describePlan, summaryOf } from "./plan_texts.js";
import { Recipe } from "./recipes.js";
import { WRITTEN } from "./requests.js";

const form = document.getElementById("new-job");
const known = JSON.parse(form.dataset.recipes);
const defaults = JSON.parse(form.dataset.defaults);
const initial = JSON.parse(form.dataset.body);
const recipe = new Recipe(form, known, document.getElementById("fitted"));
const JSON_BODY = { "Content-Type": "application/json" };
const BREATH_MS = 450;
let written = "json";

const typed = () => read(form, known.choices);

function wanted() {
  const { model, recipe: steps, ...rest } = typed();
  return { model, recipe: recipe.shortened(steps), ...trimmed(rest, defaults) };
}

// Debounces `call` and aborts the one before.
function lately(call) {
  let timer = 0, running = new AbortController();
  return (...values) => {
    clearTimeout(timer);
    running.abort();
    running = new AbortController();
    const { signal } = running;
    timer = setTimeout(() => call(signal, ...values).catch((error) => error.name === "AbortError" || say(error.message)), BREATH_MS);
  };
}

function say(text, brief = text) {
  document.getElementById("plan-state").textContent = text;
  document.getElementById("plan-brief").textContent = brief;
}

const planSoon = lately(async (signal) => {
  const body = wanted();
  try {
    const answer = await callApi("POST", "/v1/jobs?validate_only=true", { body: JSON.stringify(body), headers: JSON_BODY, signal });
    const plan = await answer.json();
    clearErrors(form);
    say("", summaryOf(plan));
    describePlan(document.getElementById("plan"), plan);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    document.getElementById("plan").replaceChildren();
    say(refusal(error));
  }
});

function refusal(error) {
  if (!error.problem?.errors) return error.message;
  const rest = showErrors(form, error.problem.errors);
  return rest.length ? rest.map((each) => `${each.pointer ?? ""} ${each.detail}`.trim()).join("; ") : "Correct the marked fields to see the plan.";
}

const inspectSoon = lately(async (signal) => {
  const place = document.getElementById("inspection");
  const { model } = typed();
  place.hidden = !model.id;
  if (!model.id) return;
  place.textContent = "Inspecting the model…";
  try {
    const answer = await callApi("GET", `/v1/models/inspect?${new URLSearchParams(model)}`, { signal });
    describeModel(place, await answer.json());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    place.textContent = error.message;
  }
});

function show() {
  const { source } = typed().model;
  form.elements["/model/id"].setAttribute("list", source === "job" ? "made" : "models");
  document.getElementById("request").textContent = WRITTEN[written](wanted());
  if (typed().model.id) planSoon();
  else {
    say("Enter a model to see the plan.");
    document.getElementById("plan").replaceChildren();
  }
}

form.addEventListener("input", (event) => {
  const { name } = event.target;
  if (name === "/recipe/preset") recipe.take(recipe.preset);
  recipe.offer();
  storeDraft(typed());
  if (name.startsWith("/model/")) inspectSoon();
  show();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("create");
  if (button.disabled) return;
  button.disabled = true;
  showFailure("");
  try {
    const headers = { ...JSON_BODY, "Idempotency-Key": storeDraft(typed()) };
    const answer = await callApi("POST", "/v1/jobs", { body: JSON.stringify(wanted()), headers });
    const { id } = await answer.json();
    dropDraft();
    location.assign(pathOf(`/jobs/${id}`));
  } catch (error) {
    button.disabled = false;
    const rest = error.problem?.errors ? refusal(error) : error.message;
    showFailure(error.problem?.errors ? `The job was not created. ${rest}` : `${rest} Your input is kept.`);
    if (error.status === 401) offerSignIn();
    focusFirst(form);
  }
});

function offerSignIn() {
  const link = document.createElement("a");
  link.href = signInPath();
  link.textContent = "Sign in again";
  document.getElementById("failure").append(" ", link);
}

document.addEventListener("click", async (event) => {
  const way = event.target.closest("[data-written]");
  if (!way) return;
  written = way.dataset.written;
  for (const each of document.querySelectorAll("[data-written]")) each.setAttribute("aria-pressed", String(each === way));
  show();
});

document.getElementById("copy").addEventListener("click", () => copyText(document.getElementById("request"), document.getElementById("copied")));

document.getElementById("afresh").addEventListener("click", () => {
  dropDraft();
  document.getElementById("restored").hidden = true;
  begin(initial);
  form.elements["/model/id"].focus();
});

filterList(document.getElementById("find-text"), document.getElementById("texts"));

function begin(body) {
  fill(form, body, known.choices);
  recipe.offer();
  inspectSoon();
  show();
}

// enabled last, so that no early input is overwritten
const draft = storedDraft();
document.getElementById("whole").disabled = false;
document.getElementById("restored").hidden = draft === null;
begin(draft?.body ?? initial);
