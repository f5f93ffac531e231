// To the clipboard. Resolves to whether it is there; the caller has selected the text, for those who have to do it by hand.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // not there without TLS
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
