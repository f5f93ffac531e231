// Job list: search on input, live rows, bulk cancellation and comparison.
import { pathOf } from "./addresses.js";
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { copyValue } from "./clipboard.js";
import { follow, refresh } from "./live.js";

const AT_ONCE = 4;
const button = document.getElementById("cancel-selected");
const MOST_COMPARED = 50; // as the API's (service/api/comparison_parameters.py)
const comparing = document.getElementById("compare-selected");
const picked = () => [...document.querySelectorAll(".pick:checked")];
const toCancel = () => [...document.querySelectorAll(".pick[data-cancellable]:checked")];

const TYPING_MS = 250;
const form = document.getElementById("finder");
const bulk = document.getElementById("bulk");
const selection = document.getElementById("selection");

function showSelection() {
  const selected = picked().length, count = toCancel().length;
  const all = document.querySelectorAll(".pick").length;
  const box = document.getElementById("select-all");
  if (box) [box.checked, box.indeterminate, box.disabled] = [all > 0 && selected === all, selected > 0 && selected < all, all === 0];
  bulk.hidden = selected === 0;
  if (!selected) return;
  selection.textContent = `${selected} selected`;
  document.getElementById("why-not").textContent = reasons(selected, count).join("; ");
  comparing.disabled = selected < 2 || selected > MOST_COMPARED;
  if (!button) return;
  button.disabled = count === 0;
  button.textContent = count && count < selected ? `Cancel ${count} of ${selected}` : "Cancel selected";
}

function reasons(selected, cancellable) {
  const found = [], cancelling = document.querySelectorAll('.pick[data-state="cancelling"]:checked').length;
  const ended = selected - cancellable - cancelling;
  if (selected < 2) found.push("select another job to compare it with");
  if (selected > MOST_COMPARED) found.push(`at most ${MOST_COMPARED} jobs can be compared`);
  if (button && ended) found.push(`${ended} of ${selected} selected ${ended === 1 ? "has" : "have"} ended`);
  if (button && cancelling) found.push(`${cancelling} of ${selected} selected ${cancelling === 1 ? "is" : "are"} being cancelled already`);
  return found;
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
  for (const box of picked()) box.checked = false;
  showFailure(failures.length ? `${failures.length} of ${ids.length} could not be cancelled. ${failures.slice(0, 3).join(" ")}` : "");
  await refresh();
  document.getElementById("said").textContent = `${ids.length - failures.length} cancelled`;
}

function clearSelection() {
  for (const box of picked()) box.checked = false;
  showSelection();
}

// The URL that submitting the form would lead to, without empty fields and what is the default.
function wantedAddress() {
  const given = new FormData(form);
  const usual = [...form.elements.column].every((box) => box.checked === box.defaultChecked) && !new URLSearchParams(location.search).has("column");
  const pairs = [...given].filter(([name, value]) => value.trim() && !(name === "column" && usual) && !(name === "sort" && value === "-created_at"));
  const query = new URLSearchParams(pairs).toString();
  return location.pathname + (query ? `?${query}` : "");
}

let typing, applied = Promise.resolve();

// Addresses change one after the other, because each is made from the page that the one before has loaded.
function inTurn(change) {
  applied = applied.then(change, change);
}

function apply() {
  clearTimeout(typing);
  typing = undefined;
  inTurn(async () => {
    const address = wantedAddress();
    if (address === location.pathname + location.search) return;
    history.replaceState(null, "", address);
    await refresh();
  });
}

// Follows a link within the list without loading the page again; the form takes over the link's filter.
async function open(clicked) {
  const link = document.getElementById(clicked.id) ?? clicked;
  history.pushState(null, "", link.href);
  const query = new URLSearchParams(location.search);
  form.elements.q.value = query.get("q") ?? "";
  form.elements.group.value = query.get("group") ?? "";
  await refresh();
  const sort = query.get("sort") ?? "-created_at", choice = form.elements.sort;
  if (![...choice.options].some((option) => option.value === sort)) choice.add(new Option(sort, sort));
  choice.value = sort;
}

form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(apply, TYPING_MS);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  apply();
});
addEventListener("popstate", () => location.reload());

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.soft");
  if (link && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)) {
    event.preventDefault();
    if (typing) apply(); // the link does not contain yet what was typed just before
    inTurn(() => open(link));
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyValue(copy.dataset.copy, document.getElementById("said"));
});
document.addEventListener("change", (event) => {
  if (event.target.id === "select-all") for (const box of document.querySelectorAll(".pick")) box.checked = event.target.checked;
  showSelection();
});
document.addEventListener("refreshed", () => {
  showSelection();
  if (document.getElementById("q-error")) form.elements.q.setAttribute("aria-invalid", "true");
  else form.elements.q.removeAttribute("aria-invalid");
});
button?.addEventListener("click", cancelPicked);
document.getElementById("clear-selection").addEventListener("click", clearSelection);
comparing.addEventListener("click", () => location.assign(pathOf(`/compare?${new URLSearchParams(picked().map((box) => ["ids", box.value]))}`)));
showSelection();
follow();
