// Drafts of forms in the tab's session storage until they are submitted, so that an expired session or a crash loses nothing.
// Each draft has its idempotency key: submitted again unchanged, it creates no second job.

const PLACE = `draft:${location.pathname}${location.search}`;

export function storedDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

export function storeDraft(body) {
  const text = JSON.stringify(body);
  const before = storedDraft();
  const key = before && JSON.stringify(before.body) === text ? before.key : newKey();
  sessionStorage.setItem(PLACE, JSON.stringify({ body, key }));
  return key;
}

export function dropDraft() {
  sessionStorage.removeItem(PLACE);
}

function newKey() {
  // crypto.randomUUID is missing without TLS
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
