// Number of changed fields in the summary of each folded part of a form.
import { controlsOf, isOffered, kindOf, valueAt } from "./form_json.js";

export function showChanges(form, body, usual, kinds) {
  for (const part of form.querySelectorAll("details:has(> summary > .changed)")) {
    const names = new Set(controlsOf(part).filter((control) => isOffered(control) && isChanged(control, body, usual, kinds)).map((control) => control.name));
    part.querySelector(".changed").textContent = names.size ? `${names.size} changed` : "";
  }
}

function isChanged(control, body, usual, kinds) {
  const { name, dataset: { as } } = control;
  if (name === "/recipe/preset") return false;
  const [value, before] = [valueAt(body, name), valueAt(usual, name)];
  if (as === "kind") return kindOf(kinds[name], value) !== kindOf(kinds[name], before);
  if (as === "presence") return Boolean(value) !== Boolean(before);
  if (before === undefined && control.closest("[data-when]")) return isTouched(control);
  return JSON.stringify(emptied(value)) !== JSON.stringify(emptied(before));
}

// Settings of a choice that the preset does not take have the page's values until they are changed.
function isTouched(control) {
  if (control.type === "checkbox") return control.checked !== control.defaultChecked;
  const usual = control.tagName === "SELECT" ? [...control.options].find((each) => each.defaultSelected)?.value ?? control.options[0].value : control.defaultValue;
  return control.value !== usual;
}

const emptied = (value) => (value === undefined || value?.length === 0 ? null : value);
