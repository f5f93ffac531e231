// Moves the token of a one-time link from the address, so that the history does not keep it, into the form.

const form = document.getElementById("link");
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.hidden = false;
  form.querySelector("button").focus();
} else {
  document.getElementById("incomplete")?.removeAttribute("hidden");
}
