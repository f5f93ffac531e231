// JSON that people type.

// Why each field that has to hold JSON does not, as the API would say it.
export function syntaxErrors(form) {
  return [...form.querySelectorAll('[data-as="json"]')].flatMap((control) => {
    try {
      JSON.parse(control.value);
      return [];
    } catch (error) {
      return [{ pointer: control.name, detail: control.value.trim() ? `is no JSON: ${error.message}` : "must not be empty" }];
    }
  });
}
