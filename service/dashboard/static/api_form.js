// Form whose every change is planned by the API, and whose errors are shown at the fields. Input is kept as a draft.
import { pathOf, signInPath } from "./addresses.js";
import { callApi, showFailure } from "./api_calls.js";
import { copyText } from "./clipboard.js";
import { dropDraft, storeDraft, storedDraft } from "./drafts.js";
import { clearErrors, focusFirst, showErrors } from "./field_errors.js";
import { syntaxErrors } from "./json_fields.js";
import { describeModel } from "./plan_texts.js";

const JSON_BODY = { "Content-Type": "application/json" };
const BREATH_MS = 450;

// `body` is the request, `state` the form's draft, which `restore` puts back; `model` is the model that the form names, in fields
// below `within`. `kind()` is what the form creates now: `path` creates, and plans with `validate_only`; `page` shows what was
// created; `describe` and `summary` write the plan, `requests` the request, `placed` moves an error's pointer to a field's.
export function runForm(form, options) {
  const { kind, within, initial, body, state, restore, model, changed = () => {}, shown = () => {} } = options;
  let written = "json";

  // Debounces `call` and aborts the one before.
  function lately(call) {
    let timer = 0, running = new AbortController();
    return () => {
      clearTimeout(timer);
      running.abort();
      running = new AbortController();
      const { signal } = running;
      timer = setTimeout(() => call(signal).catch((error) => error.name === "AbortError" || say(error.message)), BREATH_MS);
    };
  }

  function say(text, brief = text) {
    document.getElementById("plan-state").textContent = text;
    document.getElementById("plan-brief").textContent = brief;
  }

  const planSoon = lately(async (signal) => {
    const { path, summary, describe } = kind();
    try {
      const answer = await callApi("POST", `${path}?validate_only=true`, { body: JSON.stringify(body()), headers: JSON_BODY, signal });
      const plan = await answer.json();
      clearErrors(form);
      say("", summary(plan));
      describe(document.getElementById("plan"), plan);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      document.getElementById("plan").replaceChildren();
      say(refusal(error));
    }
  });

  function refusal(error) {
    if (!error.problem?.errors) return error.message;
    const rest = showErrors(form, error.problem.errors.map((each) => ({ ...each, pointer: kind().placed(each.pointer ?? "") })));
    return rest.length ? rest.map((each) => `${each.pointer} ${each.detail}`.trim()).join("; ") : "Correct the marked fields to see the plan.";
  }

  const inspectSoon = lately(async (signal) => {
    const place = document.getElementById("inspection");
    const named = model();
    place.hidden = !named.id;
    if (!named.id) return;
    place.textContent = "Inspecting the model…";
    try {
      const answer = await callApi("GET", `/v1/models/inspect?${new URLSearchParams(named)}`, { signal });
      describeModel(place, await answer.json());
    } catch (error) {
      if (error.name === "AbortError") throw error;
      place.textContent = error.message;
    }
  });

  // Returns whether JSON fields can be parsed; marks the others.
  function isParsed() {
    const wrong = syntaxErrors(form);
    if (wrong.length) say(refusal({ problem: { errors: wrong } }));
    return !wrong.length;
  }

  function show() {
    if (!isParsed()) return;
    document.getElementById("request").textContent = kind().requests[written](body());
    shown();
    if (model().id) planSoon();
    else {
      say("Enter a model to see the plan.");
      document.getElementById("plan").replaceChildren();
    }
  }

  async function send() {
    const { path, page, noun } = kind();
    showFailure("");
    if (!isParsed()) {
      showFailure(`The ${noun} was not created. Correct the marked fields.`);
      focusFirst(form);
      return;
    }
    const button = document.getElementById("create");
    button.disabled = true;
    try {
      const headers = { ...JSON_BODY, "Idempotency-Key": storeDraft(state()) };
      const answer = await callApi("POST", path, { body: JSON.stringify(body()), headers });
      const { id } = await answer.json();
      dropDraft();
      location.assign(pathOf(`${page}/${id}`));
    } catch (error) {
      button.disabled = false;
      const rest = error.problem?.errors ? refusal(error) : error.message;
      showFailure(error.problem?.errors ? `The ${noun} was not created. ${rest}` : `${rest} Your input is kept.`);
      if (error.status === 401) offerSignIn();
      focusFirst(form);
    }
  }

  function begin(from) {
    restore(from);
    inspectSoon();
    show();
  }

  form.addEventListener("input", (event) => {
    const { name } = event.target;
    changed(name);
    storeDraft(state());
    if (name.startsWith(`${within}/`)) inspectSoon();
    show();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!document.getElementById("create").disabled) send();
  });
  document.addEventListener("click", (event) => {
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
    clearErrors(form);
    begin(initial);
    form.elements[`${within}/id`].focus();
  });

  // enabled last, so that no early input is overwritten
  const draft = storedDraft();
  document.getElementById("whole").disabled = document.getElementById("create").disabled = false;
  document.getElementById("restored").hidden = draft === null;
  begin(draft?.body ?? initial);
}

function offerSignIn() {
  const link = document.createElement("a");
  link.href = signInPath();
  link.textContent = "Sign in again";
  document.getElementById("failure").append(" ", link);
}
