// What was typed into a form, kept in the browser's tab until it is sent: an expired session or a crash loses nothing.
// With it the key under which it is sent: sent again, unchanged, it makes no second job.

const PLACE = `draft:${location.pathname}${location.search}`;

export function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

export function keep(body) {
  const text = JSON.stringify(body);
  const before = kept();
  const key = before && JSON.stringify(before.body) === text ? before.key : newKey();
  sessionStorage.setItem(PLACE, JSON.stringify({ body, key }));
  return key;
}

export function drop() {
  sessionStorage.removeItem(PLACE);
}

function newKey() {
  // crypto.randomUUID is missing where the page comes without TLS
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
