// Filters a list of checkboxes by substring. Checked ones stay visible.

export function filterList(field, box) {
  field?.addEventListener("input", (event) => {
    event.stopPropagation(); // not part of the form
    const part = field.value.trim().toLowerCase();
    for (const choice of box.children) {
      const isFound = choice.textContent.toLowerCase().includes(part) || choice.querySelector(":checked");
      choice.classList.toggle("unfound", !isFound);
    }
  });
  field?.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault()); // nor does Enter submit it
}
