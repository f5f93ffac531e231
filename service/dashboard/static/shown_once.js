// A secret that the API has just told, and tells nobody again.
import { copyFrom } from "./copying.js";

const place = document.getElementById("secret");

// `page` is where to go on, if the panel offers it.
export function showSecret(made, page = "") {
  const value = document.getElementById("secret-value");
  value.value = made.secret ?? "";
  const overlap = document.getElementById("secret-overlap");
  overlap.hidden = !made.old_secret_until || new Date(made.old_secret_until) <= new Date();
  overlap.textContent = overlap.hidden ? "" : `The one before holds as well until ${new Date(made.old_secret_until).toUTCString().replace("GMT", "UTC")}.`;
  document.getElementById("secret-copied").textContent = "";
  const go = document.getElementById("secret-go");
  if (go) go.href = page;
  place.hidden = false;
  place.focus();
}

document.getElementById("secret-copy")?.addEventListener("click", () => {
  copyFrom(document.getElementById("secret-value"), document.getElementById("secret-copied"));
});
