// Panel with a new secret, which the API returns only once.
import { copyText } from "./clipboard.js";

const place = document.getElementById("secret");

// `page` is the target of the panel's link, if it has one.
export function showSecret(made, page = "") {
  const value = document.getElementById("secret-value");
  value.value = made.secret ?? "";
  const overlap = document.getElementById("secret-overlap");
  overlap.hidden = !made.old_secret_until || new Date(made.old_secret_until) <= new Date();
  overlap.textContent = overlap.hidden ? "" : `The previous secret stays valid until ${new Date(made.old_secret_until).toUTCString().replace("GMT", "UTC")}.`;
  document.getElementById("secret-copied").textContent = "";
  const go = document.getElementById("secret-go");
  if (go) go.href = page;
  place.hidden = false;
  place.focus();
}

document.getElementById("secret-copy")?.addEventListener("click", () => {
  copyText(document.getElementById("secret-value"), document.getElementById("secret-copied"));
});
