// Live page of one job: every event reloads the live parts of the shown tab.
import { pathOf } from "./addresses.js";
import { callApi, confirmAction, showFailure } from "./api_calls.js";
import { refresh } from "./live.js";
import { streamOf } from "./stream.js";

const page = document.getElementById("job");
const job = page.dataset.job;
const BREATH_MS = 400;
const ETA_MS = 5000;

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
  );
}
// progress within a stage is not an event, and deliveries may be pending long after the last event
const goesOn = () => !hasEnded || document.querySelector("[data-outstanding]") !== null;
setInterval(() => document.hidden || !goesOn() || readSoon(), ETA_MS);
