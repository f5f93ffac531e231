// Calls of the public API, authenticated by the session cookie; and the confirmation dialog.
import { pathOf } from "./addresses.js";
import { nodesOf } from "./number_formats.js";

const NO_ANSWER = "The service does not answer; the request may not have been processed. Try again in a moment.";

// Errors carry the API's `problem` document and `status` if there was a response.
export async function callApi(method, path, { body, headers = {}, signal } = {}) {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  let response;
  try {
    response = await fetch(pathOf(path), { method, body, signal, headers: { "X-CSRF-Token": token, Accept: "application/json", ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(NO_ANSWER);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(sentence(response, problem)), { problem, status: response.status });
}

function sentence(response, problem) {
  if (response.status === 401) return "The session has ended: load the page again and sign in.";
  // a proxy's page instead of the API's problem
  if (!problem.title && [502, 503, 504].includes(response.status)) return NO_ANSWER;
  return `${problem.title ?? response.status}: ${problem.detail ?? "no details available"}.`;
}

// The dialog's close event may come after the next question is shown: every question has its own answer.
let answer = () => {};

// Resolves to true if the user confirms. Escape means no. `choice` is the text of a box, whose state is in `isTicked()`.
export function confirmAction(title, text, yes, choice = "") {
  const dialog = document.getElementById("confirmation");
  const isYes = () => dialog.returnValue === "yes";
  answer(isYes());
  document.getElementById("confirmation-title").textContent = title;
  document.getElementById("confirmation-text").textContent = text;
  document.getElementById("confirmation-yes").textContent = yes;
  const line = document.getElementById("confirmation-choice");
  line.hidden = !choice;
  line.replaceChildren(Object.assign(document.createElement("input"), { type: "checkbox", id: "confirmation-ticked" }), ` ${choice}`);
  dialog.returnValue = "no";
  dialog.showModal();
  document.getElementById("confirmation-no").focus();
  dialog.onclose = () => dialog.open || answer(isYes());
  return new Promise((resolve) => {
    answer = resolve;
  });
}

export const isTicked = () => document.getElementById("confirmation-ticked").checked;

export function showFailure(text) {
  const place = document.getElementById("failure");
  place.replaceChildren(...nodesOf(text));
  place.hidden = !text;
}
