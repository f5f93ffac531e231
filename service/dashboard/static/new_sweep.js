// Form of a new sweep: axes or a search over a job template.
import { runForm } from "./api_form.js";
import { controlsOf, read, showApplicable } from "./form_json.js";
import { OF_SWEEPS } from "./requests.js";
import { describeSweep, summaryOfSweep } from "./sweep_plan_texts.js";

const form = document.getElementById("new-sweep");
const isBox = (control) => ["checkbox", "radio"].includes(control.type);
const state = () => controlsOf(form).map((control) => (isBox(control) ? control.checked : control.value));

function restore(values) {
  controlsOf(form).forEach((control, at) => (isBox(control) ? (control.checked = values[at]) : (control.value = values[at])));
  showApplicable(form);
}

// Returns the values without those that are missing or empty.
const known = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value?.length !== 0));

function wanted() {
  const { mode, name, preset, template, axes = {}, target, over, ...rest } = read(form, {});
  const { ids: presets = [], values = [], seeds = [], more = {} } = axes;
  const { recipe, ...others } = template;
  if (mode === "axes") {
    const isPlain = values.every((each) => typeof each !== "object");
    const patterns = isPlain ? { "/recipe/pattern/sparsity": values } : { "/recipe/pattern": values.map(patternOf) };
    const kept = values.length ? without(recipe, "pattern") : recipe;
    const axesOf = known({ "/recipe/preset": presets, ...(values.length ? patterns : {}), "/calibration/seed": seeds, ...more });
    return known({ name, template: withRecipe(others, presets.length ? without(kept, "preset") : kept), axes: axesOf, keep: rest.keep });
  }
  const { kind, sparsity, step, patterns, presets: names } = over;
  const { metric, task, bound, value, dataset } = target;
  const by = { sparsity: { sparsity: [sparsity?.low, sparsity?.high], step }, patterns: { patterns: (patterns ?? []).map(patternOf) }, presets: { presets: names } }[kind];
  const kept = kind === "presets" ? recipe : { ...(preset ? { preset } : {}), ...without(recipe, "pattern") };
  return known({
    name,
    template: withRecipe(others, kept),
    target: known({ metric: metric === "task:" ? metric + (task ?? "") : metric, dataset: metric === "task:" ? undefined : dataset, [bound]: value }),
    over: known(by),
    ...rest,
  });
}

const without = (recipe, name) => Object.fromEntries(Object.entries(recipe ?? {}).filter(([each]) => each !== name));
const withRecipe = (template, recipe) => (Object.keys(recipe ?? {}).length ? { ...template, recipe } : template);
const patternOf = (value) => (typeof value === "object" ? value : { type: "unstructured", sparsity: value });

// Errors point into the request; fields that write several parts of it have names of their own.
const FIELDS = [
  [/^\/axes\/~1recipe~1preset/, "/axes/ids"],
  [/^\/axes\/~1recipe~1pattern(~1sparsity)?/, "/axes/values"],
  [/^\/axes\/~1calibration~1seed/, "/axes/seeds"],
  [/^\/axes\/(?=~1)/, "/axes/more/"],
  [/^\/axes$/, "/axes/values"],
  [/^\/target(\/at_.*)?$/, "/target/value"],
  [/^\/over\/sparsity(\/0)?$/, "/over/sparsity/low"],
  [/^\/over\/sparsity\/1$/, "/over/sparsity/high"],
  [/^\/over$/, "/over/kind"],
];
const BOUNDS = { perplexity: ["at_most_increase", "at_most"], kl_divergence: ["at_most"], top1_agreement: ["at_least"], "task:": ["at_most_decrease", "at_least"] };

function offer() {
  const { "/target/metric": metric, "/target/bound": bound } = form.elements;
  const fitting = BOUNDS[metric.value];
  for (const option of bound.options) option.hidden = option.disabled = !fitting.includes(option.value);
  if (!fitting.includes(bound.value)) bound.value = fitting[0];
  showApplicable(form);
}

const SWEEP = {
  path: "/v1/sweeps",
  page: "/sweeps",
  noun: "sweep",
  describe: describeSweep,
  summary: summaryOfSweep,
  requests: OF_SWEEPS,
  placed: (pointer) => FIELDS.reduce((found, [part, name]) => found.replace(part, name), pointer),
};

offer();
runForm(form, {
  kind: () => SWEEP,
  within: "/template/model",
  initial: state(),
  body: wanted,
  state,
  restore: (values) => {
    restore(values);
    offer();
  },
  model: () => read(form, {}).template.model,
  changed: offer,
  shown: () => form.elements["/template/model/id"].setAttribute("list", form.elements["/template/model/source"].value === "job" ? "made" : "models"),
});
