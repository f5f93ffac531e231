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
