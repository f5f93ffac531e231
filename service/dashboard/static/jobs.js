// Job list: live states, bulk cancellation and comparison.
import { pathOf } from "./addresses.js";
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { follow, refresh } from "./live.js";

const AT_ONCE = 4;
const button = document.getElementById("cancel-selected");
const MOST_COMPARED = 50; // as the API's (service/api/comparison_parameters.py)
const comparing = document.getElementById("compare-selected");
const picked = () => [...document.querySelectorAll(".pick:checked")];
const toCancel = () => [...document.querySelectorAll(".pick[data-cancellable]:checked")];

function showSelection() {
  const selected = picked().length, count = toCancel().length;
  comparing.disabled = selected < 2 || selected > MOST_COMPARED;
  comparing.title = `Select 2 to ${MOST_COMPARED} jobs`;
  document.getElementById("selection").textContent = selected ? `${selected} selected` : "";
  if (!button) return;
  button.disabled = count === 0;
  const all = document.querySelectorAll(".pick[data-cancellable]").length;
  const box = document.getElementById("select-all");
  if (box) [box.checked, box.indeterminate, box.disabled] = [all > 0 && count === all, count > 0 && count < all, all === 0];
}

async function cancelPicked() {
  const ids = toCancel().map((box) => box.value);
  const what = ids.length === 1 ? "this job" : `these ${ids.length} jobs`;
  if (!(await confirmAction(`Cancel ${what}?`, "Cancelled jobs cannot be resumed. Retry creates new jobs.", `Cancel ${what}`))) return;
  button.disabled = true;
  const failures = [];
  const queue = [...ids];
  const work = async () => {
    for (let id = queue.shift(); id; id = queue.shift()) {
      await callApi("POST", `/v1/jobs/${id}/cancel`).catch((error) => failures.push(`${id}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  for (const box of toCancel()) box.checked = false;
  showFailure(failures.length ? `${failures.length} of ${ids.length} could not be cancelled. ${failures.slice(0, 3).join(" ")}` : "");
  await refresh();
  document.getElementById("selection").textContent = `${ids.length - failures.length} cancelled`;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "select-all") for (const box of document.querySelectorAll(".pick[data-cancellable]")) box.checked = event.target.checked;
  showSelection();
});
document.addEventListener("refreshed", showSelection);
button?.addEventListener("click", cancelPicked);
comparing.addEventListener("click", () => location.assign(pathOf(`/compare?${new URLSearchParams(picked().map((box) => ["ids", box.value]))}`)));
showSelection();
follow(4);
