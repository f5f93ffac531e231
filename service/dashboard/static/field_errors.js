// Validation errors from the API, shown next to the field that each points to.
import { controlsOf, isOffered } from "./form_json.js";
import { element } from "./number_formats.js";

// Returns the errors that match no field.
export function showErrors(form, errors) {
  clearErrors(form);
  return errors.filter((error) => {
    const control = controlAt(form, error.pointer ?? "");
    if (control) mark(control, placed(control, error));
    return !control;
  });
}

// Prefixes the detail with the rest of the pointer, or with the number of the gate.
function placed(control, { pointer, detail }) {
  const rest = pointer.slice(control.name.length), { as } = control.dataset;
  const within = as === "json" ? rest : as === "gates" && rest ? `gate ${Number(rest.split("/")[1]) + 1}` : "";
  return within ? `${within}: ${detail}` : detail;
}

export function clearErrors(form) {
  for (const text of form.querySelectorAll("[data-complaint]")) text.remove();
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    control.removeAttribute("aria-invalid");
    describe(control, control.dataset.hint);
  }
}

export function focusFirst(form) {
  const control = form.querySelector("[aria-invalid]");
  control?.focus();
  return Boolean(control);
}

// Returns the control of the pointer, or of its nearest ancestor.
function controlAt(form, pointer) {
  const offered = controlsOf(form).filter(isOffered);
  for (let at = pointer; at; at = at.slice(0, at.lastIndexOf("/"))) {
    const found = offered.find((control) => control.name === at);
    if (found) return found;
  }
  return null;
}

function mark(control, detail) {
  const place = control.closest(".field") ?? control.closest("fieldset");
  const text = element("p", detail, "error");
  text.id = `c-${idOf(control)}-${place.querySelectorAll("[data-complaint]").length}`;
  text.dataset.complaint = "";
  place.append(text);
  control.setAttribute("aria-invalid", "true");
  describe(control, text.id, control.dataset.hint);
  for (let around = control.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
}

function describe(control, ...ids) {
  const known = ids.filter(Boolean).join(" ");
  if (known) control.setAttribute("aria-describedby", known);
  else control.removeAttribute("aria-describedby");
}

const idOf = (control) => control.name.replaceAll("/", "-");
