// Commands of the CLI that create a job or a sweep: options where there is one for every field, else the body on standard input.
import { patternText, valueAt } from "./form_json.js";
import { gateText } from "./gates.js";

const OPTIONS = {
  "/model/source": "--source",
  "/model/revision": "--revision",
  "/model/token": "--token",
  "/recipe/preset": "--preset",
  "/recipe/criterion": "--criterion",
  "/recipe/allocation": "--allocation",
  "/recipe/objective": "--objective",
  "/recipe/refinement/method": "--refinement",
  "/recipe/update/method": "--update",
  "/effort": "--effort",
  "/calibration/dataset": "--dataset",
  "/calibration/num_samples": "--samples",
  "/evaluation/perplexity": "--evaluate",
  "/evaluation/tasks": "--task",
  "/evaluation/task_limit": "--task-limit",
  "/evaluation/few_shot": "--few-shot",
  "/evaluation/agreement_windows": "--agreement-windows",
  "/output/formats": "--format",
  "/output/hub/repo": "--hub-repo",
  "/output/hub/token": "--hub-token",
  "/output/hub/branch": "--hub-branch",
  "/output/mlflow/experiment": "--mlflow-experiment",
  "/output/mlflow/run_name": "--mlflow-run",
  "/output/mlflow/registered_model": "--mlflow-model",
  "/output/mlflow/alias": "--mlflow-alias",
  "/device": "--device",
  "/priority": "--priority",
};
const FLAGS = { "/evaluation/speed": [true, "--speed"], "/output/hub/private": [false, "--hub-public"] };
// options that set a field of calibration and evaluation at once
const SHARED = { sequence_length: "--sequence-length", bos: "--bos" };

export function commandOfJob(body) {
  const options = optionsOf(body);
  return options ? written("dsnot jobs submit", options) : onInput("dsnot jobs submit", body);
}

export function commandOfSweep(body) {
  const { name, template, axes, ...rest } = body;
  const options = optionsOf(template), varied = axes && axisOf(axes);
  if (!options || !varied || Object.keys(rest).length) return onInput("dsnot sweeps create", body);
  return written("dsnot sweeps create", [...options, ...(name ? [`--name ${quoted(name)}`] : []), varied]);
}

function axisOf(axes) {
  const [[where, values], ...others] = Object.entries(axes);
  if (others.length) return null;
  if (where === "/recipe/pattern/sparsity") return `--sparsities ${values.join(",")}`;
  return where === "/recipe/pattern" ? `--patterns ${values.map(patternText).join(",")}` : null;
}

// Returns null if an option is missing for a field. The command's own effort applies where the body has none.
function optionsOf(body) {
  const options = [], left = new Map(leaves(body));
  if (!body.effort || !body.model?.id) return null;
  options.push(quoted(left.get("/model/id")));
  left.delete("/model/id");
  if (body.model.source === "hub") left.delete("/model/source");
  for (const [where, value] of [...left]) {
    const option = OPTIONS[where], [wanted, flag] = FLAGS[where] ?? [];
    if (option && value?.length !== 0 && value !== null) options.push(...[value].flat().map((each) => `${option} ${quoted(each)}`));
    else if (flag && value === wanted) options.push(flag);
    else continue;
    left.delete(where);
  }
  for (const [name, option] of Object.entries(SHARED)) {
    const [one, other] = ["calibration", "evaluation"].map((part) => valueAt(body, `/${part}/${name}`));
    if (one === undefined || one !== other) continue;
    options.push(`${option} ${quoted(one)}`);
    for (const part of ["calibration", "evaluation"]) left.delete(`/${part}/${name}`);
  }
  const pattern = body.recipe?.pattern;
  if (pattern) {
    options.push(pattern.type === "n:m" ? `--pattern ${patternText(pattern)}` : `--sparsity ${quoted(pattern.sparsity)}`);
    for (const name of Object.keys(pattern)) left.delete(`/recipe/pattern/${name}`);
  }
  for (const gate of left.get("/evaluation/require") ?? []) options.push(`--require ${quoted(gateText(gate))}`);
  left.delete("/evaluation/require");
  for (const [where, value] of Object.entries(body.labels ?? {})) options.push(`--label ${quoted(`${where}=${value}`)}`);
  return [...left.keys()].every((where) => where.startsWith("/labels/")) ? options : null;
}

function leaves(value, where = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[where, value]];
  return Object.entries(value).flatMap(([name, each]) => leaves(each, `${where}/${name}`));
}

function quoted(value) {
  const text = String(value);
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const written = (command, [model, ...options]) => [`${command} ${model}`, ...options].join(" \\\n  ");
const onInput = (command, body) => `${command} --spec - <<'JSON'\n${JSON.stringify(body, null, 2)}\nJSON`;
