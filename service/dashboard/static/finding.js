// Finding one of many choices by a part of its name. What is ticked stays in sight.

export function findIn(field, box) {
  field?.addEventListener("input", (event) => {
    event.stopPropagation(); // it is no part of the form
    const part = field.value.trim().toLowerCase();
    for (const choice of box.children) {
      const isFound = choice.textContent.toLowerCase().includes(part) || choice.querySelector(":checked");
      choice.classList.toggle("unfound", !isFound);
    }
  });
  field?.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault()); // nor does it send it
}
