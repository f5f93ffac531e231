// Form of a new job; several patterns make it a sweep.
import { runForm } from "./api_form.js";
import { showChanges } from "./changed_fields.js";
import { Effort } from "./efforts.js";
import { fill, patternText, read, trimmed } from "./form_json.js";
import { filterList } from "./list_filter.js";
import { ModelBox } from "./model_box.js";
import { describePlan, summaryOf } from "./plan_texts.js";
import { PresetFigures } from "./preset_figures.js";
import { Recipe } from "./recipes.js";
import { OF_JOBS, OF_SWEEPS } from "./requests.js";
import { followSlider } from "./sparsity.js";
import { describeSweep, summaryOfSweep } from "./sweep_plan_texts.js";

const form = document.getElementById("new-job");
const known = JSON.parse(form.dataset.recipes);
const defaults = JSON.parse(form.dataset.defaults);
const recipe = new Recipe(form, known, document.getElementById("fitted"));
const effort = new Effort(form, JSON.parse(form.dataset.efforts), known.choices);
const models = new ModelBox(form, JSON.parse(form.dataset.models));
const figures = new PresetFigures(form, JSON.parse(form.dataset.figures), known.presets);
const typed = () => read(form, known.choices);
const patterns = () => typed().recipe.pattern;
const isSweep = () => Array.isArray(patterns());

const JOB = { path: "/v1/jobs", page: "/jobs", noun: "job", describe: describePlan, summary: summaryOf, requests: OF_JOBS, placed: (pointer) => pointer };
const SWEEP = {
  path: "/v1/sweeps",
  page: "/sweeps",
  noun: "sweep",
  describe: describeSweep,
  summary: summaryOfSweep,
  requests: OF_SWEEPS,
  placed: (pointer) => pointer.replace(/^\/axes.*/, "/recipe/pattern").replace(/^\/template/, ""),
};

const usual = () => ({ ...defaults, ...effort.values, effort: null, recipe: known.presets[recipe.preset] });

function job() {
  const { model, recipe: steps, ...rest } = typed();
  return { model, recipe: recipe.shortened(steps), ...trimmed(rest, usual()) };
}

function wanted() {
  const body = job();
  if (!isSweep()) return body;
  const { pattern: values, ...steps } = body.recipe;
  const isPlain = values.every((each) => each.type === "unstructured");
  const axes = isPlain ? { "/recipe/pattern/sparsity": values.map((each) => each.sparsity) } : { "/recipe/pattern": values };
  return { template: { ...body, recipe: steps }, axes };
}

function show() {
  const { model, recipe: { pattern } } = typed(), found = [pattern].flat();
  document.getElementById("create").textContent = isSweep() ? `Create sweep of ${found.length} jobs` : "Create job";
  const note = document.getElementById("is-sweep");
  note.hidden = !isSweep();
  note.textContent = isSweep() ? `This makes a sweep: one job for each of ${found.map(patternText).join(", ")}.` : "";
  slide(found);
  effort.explain();
  figures.show(model, found[0]);
  showChanges(form, typed(), usual(), known.choices);
}

const slide = followSlider(form.elements["/recipe/pattern"]);
filterList(document.getElementById("find-text"), document.getElementById("texts"));
runForm(form, {
  kind: () => (isSweep() ? SWEEP : JOB),
  within: "/model",
  initial: JSON.parse(form.dataset.body),
  body: wanted,
  state: typed,
  restore: (body) => {
    fill(form, body, known.choices);
    effort.remember();
    recipe.offer();
  },
  model: () => typed().model,
  changed: (name) => {
    if (name === "/recipe/preset") recipe.take(recipe.preset);
    if (name === "/effort") effort.take();
    if (name === "/model/source") models.keepSource();
    if (name === "/model/id") models.findSource();
    recipe.offer();
  },
  shown: show,
});
