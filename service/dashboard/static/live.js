// Live pages: reloads the page in the background and replaces changed [data-live] elements; rendering stays on the server.
// Checked boxes, open menus, focus and scroll positions are kept.
import { signInPath } from "./addresses.js";
import { localise } from "./times.js";

export const PERIOD_MS = 15_000;
const LOST = "Connection lost. This page may be outdated; it updates when the service answers.";

export function connectionIs(isThere, text = LOST) {
  const note = document.getElementById("connection");
  note.textContent = isThere ? "" : text;
  note.hidden = isThere;
}

// Resolves to true if the page could be loaded.
export async function refresh() {
  const address = location.href;
  let response;
  try {
    response = await fetch(address, { headers: { Accept: "text/html" }, redirect: "manual" });
  } catch {
    connectionIs(false);
    return false;
  }
  if (response.type === "opaqueredirect") {
    connectionIs(false, "You are signed out: the session has ended. ");
    const link = document.createElement("a");
    link.href = signInPath();
    link.textContent = "Sign in again";
    document.getElementById("connection").append(link);
    return false;
  }
  if (response.status === 404) {
    const what = document.querySelector("[data-what]")?.dataset.what ?? "job";
    connectionIs(false, `This ${what} has been deleted. The page shows its last state.`);
    return false;
  }
  if (!response.ok && response.status !== 422) { // a page with invalid parameters names them
    connectionIs(false, `The service currently answers with ${response.status}. This page may be outdated.`);
    return false;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (location.href === address) put(page); // else a script has changed the page's parameters, and loads it again
  connectionIs(true);
  return true;
}

function put(page) {
  const focused = document.activeElement?.id;
  const ticked = [...document.querySelectorAll("[data-live] input:checked")].map((box) => box.id);
  for (const root of [document, page]) localise(root); // at the same time, so that equal times are equal
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh) continue;
    for (const menu of old.querySelectorAll("details[open][id]")) page.getElementById(menu.id)?.setAttribute("open", "");
    if (!fresh.isEqualNode(old)) replace(old, fresh);
  }
  document.title = page.title;
  for (const id of ticked) {
    const box = document.getElementById(id);
    if (box) box.checked = true;
  }
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  document.dispatchEvent(new Event("refreshed"));
}

function replace(old, fresh) {
  const places = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  old.replaceWith(document.importNode(fresh, true));
  document.getElementById(fresh.id).querySelectorAll(".scroll").forEach((box, number) => {
    if (places[number]) [box.scrollLeft, box.scrollTop] = places[number];
  });
}

// Refreshes at this interval while the page is visible.
export function follow(period = PERIOD_MS) {
  const turn = async () => {
    if (!document.hidden) await refresh();
    setTimeout(turn, period);
  };
  setTimeout(turn, period);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}
