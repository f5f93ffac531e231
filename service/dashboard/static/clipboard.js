// Copies an element's text to the clipboard, or selects it where that is not possible.

export async function copyText(place, said) {
  const text = place.value ?? place.textContent;
  if (place.select) place.select();
  else getSelection().selectAllChildren(place);
  said.textContent = (await isCopied(text)) ? "copied" : "selected: press Ctrl+C to copy";
}

async function isCopied(text) {
  try {
    await navigator.clipboard.writeText(text); // missing without TLS
    return true;
  } catch {
    return document.execCommand("copy");
  }
}

// Copies a text that is not on the page as a whole.
export async function copyValue(text, said) {
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "offscreen" });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const isDone = await isCopied(text);
  field.remove();
  focused?.focus();
  said.textContent = isDone ? `copied ${text}` : `could not be copied: ${text}`;
}
