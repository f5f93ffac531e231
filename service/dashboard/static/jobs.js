// The list of jobs: live states, and cancelling several at once.
import { ask, confirmed, failed } from "./asking.js";
import { follow, refresh } from "./live.js";

const AT_ONCE = 4;
const button = document.getElementById("cancel-selected");
const picked = () => [...document.querySelectorAll(".pick:checked")];

function showSelection() {
  if (!button) return;
  const count = picked().length;
  button.disabled = count === 0;
  document.getElementById("selection").textContent = count ? `${count} selected` : "";
  const all = document.querySelectorAll(".pick").length;
  const box = document.getElementById("select-all");
  if (box) [box.checked, box.indeterminate, box.disabled] = [all > 0 && count === all, count > 0 && count < all, all === 0];
}

async function cancelPicked() {
  const ids = picked().map((box) => box.value);
  const what = ids.length === 1 ? "this job" : `these ${ids.length} jobs`;
  if (!(await confirmed(`Cancel ${what}?`, "What has not ended stops for good. Cancelled jobs can be tried again as new ones.", `Cancel ${what}`))) return;
  button.disabled = true;
  const failures = [];
  const queue = [...ids];
  const work = async () => {
    for (let id = queue.shift(); id; id = queue.shift()) {
      await ask("POST", `/v1/jobs/${id}/cancel`).catch((error) => failures.push(`${id}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  for (const box of picked()) box.checked = false;
  failed(failures.length ? `${failures.length} of ${ids.length} could not be cancelled. ${failures.slice(0, 3).join(" ")}` : "");
  await refresh();
  document.getElementById("selection").textContent = `${ids.length - failures.length} cancelled`;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "select-all") for (const box of document.querySelectorAll(".pick")) box.checked = event.target.checked;
  showSelection();
});
document.addEventListener("refreshed", showSelection);
button?.addEventListener("click", cancelPicked);
showSelection();
follow(4);
