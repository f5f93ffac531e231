// Changes through the public API, with the session in place of the key; and the question before something is lost.
import { phrased } from "./figures.js";

// An error has the API's `problem` and its `status`, if it has answered.
export async function ask(method, path, { body, headers = {}, signal } = {}) {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  let response;
  try {
    response = await fetch(path, { method, body, signal, headers: { "X-CSRF-Token": token, Accept: "application/json", ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer; nothing may have been done. Try again in a moment.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(sentence(response, problem)), { problem, status: response.status });
}

function sentence(response, problem) {
  if (response.status === 401) return "The session has ended: sign in again (load the page anew).";
  return `${problem.title ?? response.status}: ${problem.detail ?? "the service does not say why"}.`;
}

// Resolves to whether the answer is yes. Escape is no.
export function confirmed(title, text, yes) {
  const dialog = document.getElementById("confirmation");
  document.getElementById("confirmation-title").textContent = title;
  document.getElementById("confirmation-text").textContent = text;
  document.getElementById("confirmation-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  document.getElementById("confirmation-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function failed(text) {
  const place = document.getElementById("failure");
  place.replaceChildren(...phrased(text));
  place.hidden = !text;
}
