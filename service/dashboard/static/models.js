// Model inspection through the API. A new inspection aborts the one before.
import { pathOf } from "./addresses.js";
import { callApi, showFailure } from "./api_calls.js";
import { read, showApplicable } from "./form_json.js";
import { clearErrors, focusFirst, showErrors } from "./field_errors.js";
import { count, definitionList, element, share, size } from "./number_formats.js";
import { follow } from "./live.js";

const form = document.getElementById("inspect");
const place = document.getElementById("inspection");
const underWay = document.getElementById("under-way");
const seconds = document.getElementById("seconds");
let running = new AbortController();
let ticking = 0;

const asked = () => read(form, {}).model;

function waitFor(name) {
  clearInterval(ticking);
  const began = Date.now();
  underWay.textContent = name ? `Inspecting ${name}…` : "";
  seconds.textContent = "";
  if (name) ticking = setInterval(() => (seconds.textContent = `${Math.round((Date.now() - began) / 1000)} s`), 1000);
}

async function inspect() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const model = asked();
  clearErrors(form);
  showFailure("");
  place.hidden = true;
  waitFor(model.id ?? "the model");
  try {
    const answer = await callApi("GET", `/v1/models/inspect?${new URLSearchParams(model)}`, { signal });
    const found = await answer.json();
    if (signal.aborted) return;
    waitFor("");
    describe(found);
    place.hidden = false;
    underWay.textContent = "Result below.";
  } catch (error) {
    if (signal.aborted) return;
    waitFor("");
    refuse(error);
  }
}

// The API points to the query parameter if it is invalid, and to the job's field if the model does not exist.
function refuse(error) {
  const errors = (error.problem?.errors ?? []).map((each) => ({ ...each, pointer: `/model/${each.pointer.replace(/^\/?(model\/)?/, "")}` }));
  const rest = showErrors(form, errors);
  showFailure(errors.length ? rest.map((each) => each.detail).join("; ") : error.message);
  focusFirst(form);
}

function describe(found) {
  const { model } = found;
  const facts = definitionList([
    ["Source", { hub: "the Hugging Face Hub", local: "the server’s model folder", job: "an earlier job" }[model.source]],
    ["Revision", model.source === "job" ? `artifact ${model.revision}` : model.revision],
    ["Architecture", found.architecture ?? found.model_type],
    ["Parameters", `${count(found.parameters)}; ${count(found.prunable_parameters)} (${share(found.prunable_share)}) prunable`],
    ["Blocks", `${count(found.blocks)} with ${count(found.block_parameters)} parameters, ${share(found.coverage)} prunable`],
    ["Weights", `${size(found.weight_bytes)}, ${found.dtype}`],
    ["Hidden size", found.hidden_size === null ? null : count(found.hidden_size)],
    ["Vocabulary", found.vocab_size === null ? null : `${count(found.vocab_size)} tokens`],
    ["Maximum sequence length", found.max_sequence_length === null ? null : `${count(found.max_sequence_length)} tokens`],
    ["Licence", found.license],
  ]);
  const verdict = found.can_be_pruned ? element("p", "It can be pruned.") : element("p", `It cannot be pruned: ${found.why_not}`, "error");
  const name = element("h2", "");
  name.append(isolated(model.id));
  place.replaceChildren(name, verdict, ...found.warnings.map((text) => element("p", text, "warning")), facts, ...table(found.matrices), ...next(found));
}

function table(matrices) {
  if (!matrices.length) return [];
  const rows = matrices.map((each) => row("td", [isolated(each.name), count(each.rows), count(each.columns), count(each.count), count(each.rows * each.columns * each.count)]));
  const made = document.createElement("table"), head = document.createElement("thead"), body = document.createElement("tbody");
  head.append(row("th", ["Prunable matrix", "Outputs", "Inputs", "Count", "Weights in total"]));
  body.append(...rows);
  made.append(head, body);
  const box = element("div", "", "scroll");
  Object.entries({ tabindex: "0", role: "group", "aria-label": "Matrices" }).forEach(([key, value]) => box.setAttribute(key, value));
  box.append(made);
  return [box];
}

function row(tag, cells) {
  const made = document.createElement("tr");
  cells.forEach((cell, at) => {
    const place = element(at ? tag : "th", "", at ? "number" : "");
    if (tag === "th" || !at) place.scope = tag === "th" ? "col" : "row";
    place.append(cell);
    made.append(place);
  });
  return made;
}

const isolated = (text) => Object.assign(document.createElement("bdi"), { textContent: text });

function next({ model, can_be_pruned: canBePruned }) {
  if (!canBePruned || form.dataset.mayWrite !== "yes") return [];
  // the service sets the revision of an artifact
  const named = Object.entries(model).filter(([name, value]) => value !== null && !(name === "revision" && model.source === "job"));
  const link = Object.assign(element("a", "New job with this model", "button primary"), { href: pathOf(`/jobs/new?${new URLSearchParams(named)}`) });
  const line = element("p", "");
  line.append(link);
  return [line];
}

function offer() {
  showApplicable(form);
  form.elements["/model/id"].setAttribute("list", `of-${form.elements["/model/source"].value}`);
}

form.addEventListener("input", offer);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  history.replaceState(null, "", `?${new URLSearchParams(asked())}`);
  inspect();
});

offer();
if (asked().id) inspect();
follow();
