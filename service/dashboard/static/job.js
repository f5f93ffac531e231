// Live page of one job: every event reloads the live parts of the shown tab; progress within a stage moves the bar in place.
import { pathOf } from "./addresses.js";
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { refresh } from "./live.js";
import { count } from "./number_formats.js";
import { streamOf } from "./stream.js";

const page = document.getElementById("job");
const job = page.dataset.job;
const BREATH_MS = 400;
const ESTIMATES_MS = 60_000;
const DELIVERIES_MS = 15_000;

const QUESTIONS = {
  cancel: ["Cancel this job?", "The job cannot be resumed. Retry creates a new job that reuses the finished blocks.", "Cancel the job"],
  delete: ["Delete this job?", "Its record and its artifact are removed permanently.", "Delete the job"],
};

let waiting = 0;
function readSoon() {
  waiting ||= setTimeout(() => {
    waiting = 0;
    refresh();
  }, BREATH_MS);
}

// The texts are those of the macros `progress` and `count` in parts.html. Nothing here is announced to screen readers.
function showProgress(report) {
  const place = document.querySelector("#status .progress");
  if (!place) { // the stage's first report
    readSoon();
    return;
  }
  const { stage, done, total, unit, matrices_done: matrices, matrices_total: ofBlock } = report;
  const [bar, text] = place.children;
  bar.max = Math.max(total, 1);
  bar.value = done;
  bar.setAttribute("aria-label", stage);
  const within = ofBlock ? `, ${matrices} of ${ofBlock} matrices of the next` : "";
  text.textContent = `${stage}: ${count(done)} of ${count(total)} ${unit}${within}`;
  const shown = `${place.dataset.count} `;
  place.dataset.count = `${done}/${total}`;
  if (document.title.startsWith(shown)) document.title = `${place.dataset.count} ${document.title.slice(shown.length)}`;
}

async function act(action) {
  showFailure("");
  const question = QUESTIONS[action];
  if (question && !(await confirmAction(...question))) return;
  try {
    if (action === "delete") {
      await callApi("DELETE", `/v1/jobs/${job}`);
      location.assign(pathOf("/jobs"));
      return;
    }
    const response = await callApi("POST", `/v1/jobs/${job}/${action}`);
    if (action === "retry") {
      location.assign(pathOf(`/jobs/${(await response.json()).id}`));
      return;
    }
  } catch (error) {
    showFailure(error.message);
  }
  await refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) act(button.dataset.action);
});
document.getElementById("event")?.addEventListener("change", (event) => event.target.form.requestSubmit());

let hasEnded = page.dataset.ended === "yes";
if (!hasEnded) {
  streamOf(
    `/v1/jobs/${job}`,
    page.dataset.types.split(" "),
    Number(page.dataset.seq),
    (event) => {
      document.dispatchEvent(new CustomEvent("job-event", { detail: event.type }));
      readSoon();
    },
    () => {
      hasEnded = true;
      document.dispatchEvent(new CustomEvent("job-event", { detail: "end" }));
      refresh();
    },
    { query: "progress=true", onProgress: showProgress },
  );
}
const readIf = (isOutdated) => document.hidden || !isOutdated() || readSoon();
const mayChange = () => !hasEnded; // without an event: the expected end, the place in the queue, durations
setInterval(readIf, ESTIMATES_MS, mayChange);
setInterval(readIf, DELIVERIES_MS, () => document.querySelector("[data-outstanding]") !== null); // also after the last event
document.addEventListener("visibilitychange", () => readIf(mayChange));
