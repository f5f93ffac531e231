// Live page of one sweep: every event reloads the page's live parts; the chart is drawn from the rows of the table.
import { PERIOD_MS, refresh } from "./live.js";
import { followChoices } from "./point_chart.js";
import { drawScale } from "./search_scale.js";
import { streamOf } from "./stream.js";

const BREATH_MS = 400;
const page = document.getElementById("sweep");
const status = () => document.getElementById("status").dataset;
let isFollowing = false;
let waiting = 0;

function readSoon() {
  waiting ||= setTimeout(() => {
    waiting = 0;
    refresh();
  }, BREATH_MS);
}

function drawNarrowing() {
  const scale = document.getElementById("scale");
  if (scale) drawScale(document.getElementById("narrowing"), JSON.parse(scale.dataset.scale));
}

function follow() {
  if (isFollowing || status().ended === "yes") return;
  isFollowing = true;
  streamOf(page.dataset.path, page.dataset.types.split(" "), Number(status().seq), readSoon, () => {
    isFollowing = false;
    refresh();
  });
}

function show() {
  drawNarrowing();
  follow(); // again after a retry
}

document.addEventListener("refreshed", show);
new ResizeObserver(drawNarrowing).observe(document.getElementById("content"));
followChoices();
show();
// a job's start is no event of the sweep
setInterval(() => document.hidden || status().ended === "yes" || readSoon(), PERIOD_MS);
