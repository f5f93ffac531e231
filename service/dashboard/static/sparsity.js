// Slider and buttons of the field of patterns. Only the field is part of the form.

// Returns a function that moves the slider to the patterns of the field.
export function followSlider(field) {
  const slider = document.getElementById("sparsity-slider");
  const set = (text) => {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  slider.addEventListener("input", (event) => {
    event.stopPropagation();
    set(String(Number(slider.value)));
  });
  for (const button of document.querySelectorAll("[data-pattern]")) button.addEventListener("click", () => set(button.dataset.pattern));

  return ([first, ...others]) => {
    const isShare = first.type === "unstructured" && first.sparsity >= 0 && first.sparsity < 1 && !others.length;
    if (isShare && document.activeElement !== slider) slider.value = first.sparsity;
    slider.setAttribute("aria-valuetext", isShare ? `${Math.round(first.sparsity * 100)} %` : "not one share");
    slider.classList.toggle("unset", !isShare);
    for (const button of document.querySelectorAll("[data-pattern]")) button.setAttribute("aria-pressed", String(button.dataset.pattern === field.value.trim()));
  };
}
