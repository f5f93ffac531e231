// Conversion between forms and JSON: `name` of a control is the JSON pointer of its value, `data-as` selects the codec.
// Text that is not a number is sent unchanged, so that the API reports the error.
import { gateOf, gateText } from "./gates.js";

const number = (text) => (text.trim() === "" ? undefined : Number.isFinite(Number(text)) ? Number(text) : text);
const DAY_MS = 86_400_000;
const LAST_MS = Date.UTC(9999, 11);
const moment = (ms) => (Number.isNaN(ms) ? undefined : new Date(Math.min(ms, LAST_MS)).toISOString());
const plain = (value) => (value ?? "") === "" ? "" : String(value);

const WAYS = {
  text: { read: (control) => control.value.trim() || undefined, fill: (control, value) => (control.value = plain(value)) },
  line: { read: (control) => control.value.trim(), fill: (control, value) => (control.value = plain(value)) },
  optional: { read: (control) => control.value.trim() || null, fill: (control, value) => (control.value = plain(value)) },
  json: { read: (control) => JSON.parse(control.value), fill: (control, value) => (control.value = JSON.stringify(value, null, 2)) },
  integer: { read: (control) => number(control.value), fill: (control, value) => (control.value = plain(value)) },
  limit: { read: (control) => number(control.value) ?? null, fill: (control, value) => (control.value = plain(value)) },
  number: { read: (control) => number(control.value), fill: (control, value) => (control.value = plain(value)) },
  flag: { read: (control) => control.checked, fill: (control, value) => (control.checked = value === true) },
  choice: { read: readChoice, fill: fillChoice },
  words: { read: (control) => control.value.split(/[\s,]+/).filter(Boolean), fill: (control, value) => (control.value = (value ?? []).join(", ")) },
  patterns: { read: readPatterns, fill: (control, value) => (control.value = [value ?? []].flat().map(patternText).join(", ")) },
  values: { read: (control) => control.value.split(/[\s,;]+/).filter(Boolean).map(valueOf) },
  seeds: { read: (control) => control.value.split(/[\s,;]+/).filter(Boolean).map(number) },
  labels: { read: (control) => Object.fromEntries(lines(control.value)), fill: (control, value) => (control.value = Object.entries(value ?? {}).map((pair) => pair.join("=")).join("\n")) },
  days: { read: (control) => moment(Date.now() + Number(control.value) * DAY_MS) ?? control.value },
  day: { read: (control) => control.value && `${control.value}T23:59:59Z` },
  hours: { read: (control) => (control.value.trim() && Number.isFinite(Number(control.value)) ? Math.round(Number(control.value) * 3600) : control.value) },
  samples: { read: readSamples, fill: fillSamples },
  prompts: { read: (control) => control.value.split("\n").filter((line) => line.trim()), fill: (control, value) => (control.value = (value ?? []).join("\n")) },
  gates: { read: (control) => control.value.split("\n").filter((line) => line.trim()).map(gateOf), fill: (control, value) => (control.value = (value ?? []).map(gateText).join("\n")) },
  presence: { read: () => undefined, fill: (control, value) => (control.value = value ? "yes" : "") },
};

// `0.5`, `50%` or `2:4` as a share or a pattern.
function valueOf(text) {
  const group = /^(\d+):(\d+)$/.exec(text);
  if (group) return { type: "n:m", n: Number(group[1]), m: Number(group[2]) };
  return /^[\d.]+%$/.test(text) ? Number((Number(text.slice(0, -1)) / 100).toPrecision(6)) : number(text);
}

const PARTS = /[\s,;]+/;

// Returns a pattern; several as a list. An empty field is sent as it is, so that the API reports it.
function readPatterns(control) {
  const texts = control.value.replace(/\s+%/g, "%").split(PARTS).filter(Boolean);
  const found = (texts.length ? texts : [""]).map(valueOf).map((value) => (typeof value === "object" ? value : { type: "unstructured", sparsity: value ?? "" }));
  return found.length === 1 ? found[0] : found;
}

export const patternText = (pattern) => (pattern.type === "n:m" ? `${pattern.n}:${pattern.m}` : plain(pattern.sparsity));

function readChoice(control) {
  if (control.type === "radio" && !control.checked) return undefined;
  return control.value || undefined;
}

function fillChoice(control, value) {
  if (control.type === "radio") control.checked = control.value === plain(value);
  else control.value = plain(value);
}

const SMALL_MODELS = 2 ** 30;
const samplesChoice = (value) => (!value ? "none" : value.prompts ? "own" : value.max_weight_bytes ? "small" : "all");

// Fields of samples that the form does not show are kept while the choice is.
function readSamples(control) {
  const kept = JSON.parse(control.dataset.kept ?? "null");
  if (control.value === samplesChoice(kept)) return kept;
  return { none: null, small: { max_weight_bytes: SMALL_MODELS }, all: { max_weight_bytes: null }, own: {} }[control.value];
}

function fillSamples(control, value) {
  control.dataset.kept = JSON.stringify(value ?? null);
  control.value = samplesChoice(value);
}

function lines(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const at = line.indexOf("=");
    return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
}

export function valueAt(body, pointer) {
  return pointer.split("/").slice(1).reduce((here, step) => here?.[step], body);
}

function put(body, pointer, value) {
  const steps = pointer.split("/").slice(1);
  const last = steps.pop();
  const parent = steps.reduce((here, step) => (here[step] ??= {}), body);
  const isPart = value !== null && typeof value === "object" && !Array.isArray(value);
  parent[last] = isPart ? { ...parent[last], ...value } : value;
}

export const controlsOf = (form) => [...form.querySelectorAll("[data-as]")];
export const isOffered = (control) => !control.closest("[hidden]");

// Hides fields that belong to an unselected choice; hidden fields are not sent.
export function showApplicable(form) {
  for (const part of form.querySelectorAll("[data-when]")) {
    part.hidden = !part.dataset.is.split("|").includes(form.elements[part.dataset.when].value);
  }
}

export function read(form, kinds) {
  const body = {};
  for (const control of controlsOf(form).filter(isOffered)) {
    const { name, dataset: { as } } = control;
    if (as === "member") put(body, name, [...(valueAt(body, name) ?? []), ...(control.checked ? [control.value] : [])]);
    else {
      const value = as === "kind" ? kinds[name][control.value] : WAYS[as].read(control);
      if (value !== undefined) put(body, name, value);
    }
  }
  return body;
}

// Fills choices first, because they decide which other fields apply. Settings of unselected choices keep the page's values.
export function fill(form, body, kinds) {
  const all = controlsOf(form);
  const decides = (control) => ["kind", "choice", "presence", "samples"].includes(control.dataset.as);
  for (const control of all.filter(decides)) {
    const value = valueAt(body, control.name);
    if (control.dataset.as === "kind") control.value = kindOf(kinds[control.name], value);
    else WAYS[control.dataset.as].fill(control, value);
  }
  showApplicable(form);
  for (const control of all.filter((each) => isOffered(each) && each.dataset.as !== "kind")) {
    const value = valueAt(body, control.name);
    if (control.dataset.as === "member") control.checked = (value ?? []).includes(control.value);
    else if (value !== undefined || !control.name.startsWith("/recipe/")) WAYS[control.dataset.as].fill(control, value);
  }
}

export function kindOf(known, value) {
  const fits = (body) => (typeof body === "object" ? Object.entries(body).every(([key, part]) => value?.[key] === part) : body === value);
  return Object.keys(known).find((name) => fits(known[name])) ?? Object.keys(known)[0];
}

// Returns the body without values equal to their defaults.
export function trimmed(body, defaults) {
  const rest = {};
  for (const [name, value] of Object.entries(body)) {
    const usual = defaults?.[name];
    if (JSON.stringify(value) === JSON.stringify(usual)) continue;
    const isPart = value !== null && typeof value === "object" && !Array.isArray(value);
    const kept = isPart && usual ? trimmed(value, usual) : value;
    if (!isPart || Object.keys(kept).length) rest[name] = kept;
  }
  return rest;
}
