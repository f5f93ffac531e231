// Syntax check of JSON fields.

// Returns an error, shaped as the API's, for each JSON field that cannot be parsed.
export function syntaxErrors(form) {
  return [...form.querySelectorAll('[data-as="json"]')].flatMap((control) => {
    try {
      const value = JSON.parse(control.value);
      const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
      return isObject || !("object" in control.dataset) ? [] : [{ pointer: control.name, detail: "must be a JSON object" }];
    } catch (error) {
      return [{ pointer: control.name, detail: control.value.trim() ? `is not valid JSON: ${error.message}` : "must not be empty" }];
    }
  });
}
