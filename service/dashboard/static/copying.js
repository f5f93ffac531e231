// Copying what an element shows. What cannot be copied is at least selected.

export async function copyFrom(place, said) {
  const text = place.value ?? place.textContent;
  if (place.select) place.select();
  else getSelection().selectAllChildren(place);
  said.textContent = (await isCopied(text)) ? "copied" : "selected: copy it with the keyboard";
}

async function isCopied(text) {
  try {
    await navigator.clipboard.writeText(text); // not there without TLS
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
