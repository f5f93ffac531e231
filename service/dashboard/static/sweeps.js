// Sweep list: live states; the filter applies on change.
import { follow } from "./live.js";

document.querySelector("form.filter").addEventListener("change", (event) => event.target.form.requestSubmit());
follow();
