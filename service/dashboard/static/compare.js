// Charts of several jobs: points from the page's table, errors per block from the API's comparison, which takes the same ids.
import { pathOf } from "./addresses.js";
import { drawLines, onResize } from "./charts.js";
import { figure } from "./number_formats.js";
import { followChoices } from "./point_chart.js";

const MOST_LINES = 6; // as many as there are colours
const state = document.getElementById("charts-state");

function draw(jobs) {
  const lines = jobs
    .map((job, at) => ({ title: `job ${at + 1}`, kind: `job-${at}`, points: job.blocks.map((block) => [block.block, block.error]) }))
    .filter((line) => line.points.length);
  document.getElementById("errors").hidden = !lines.length;
  state.textContent = lines.length ? "" : "No block is pruned yet.";
  state.hidden = lines.length > 0;
  if (lines.length) drawLines(document.getElementById("errors-chart"), lines, { x: "block", describe: figure });
}

async function load() {
  const ids = new URLSearchParams(new URLSearchParams(location.search).getAll("ids").slice(0, MOST_LINES).map((id) => ["ids", id]));
  const response = await fetch(pathOf(`/v1/jobs/compare?${ids}`)).catch(() => null);
  if (!response?.ok) {
    state.textContent = "The results cannot be loaded now; load the page again in a moment.";
    return;
  }
  const { jobs } = await response.json();
  draw(jobs);
  onResize(document.body, () => draw(jobs));
}

if (document.getElementById("points-chart")) followChoices();
load();
