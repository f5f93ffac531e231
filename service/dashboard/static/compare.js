// Charts of several jobs, drawn from the API's comparison, which takes the same query.
import { pathOf } from "./addresses.js";
import { drawLines } from "./charts.js";
import { axisOf, count } from "./number_formats.js";
import { drawPoints } from "./scatter_chart.js";

const state = document.getElementById("charts-state");
let found = null;

function drawErrors() {
  const lines = found.jobs
    .map((job, at) => ({ title: `job ${at + 1}`, kind: `job-${at}`, points: job.blocks.map((block) => [block.block, block.error]) }))
    .filter((line) => line.points.length);
  document.getElementById("errors").hidden = !lines.length;
  if (lines.length) drawLines(document.getElementById("errors-chart"), lines, { x: "block", describe: (value) => value.toPrecision(3) });
  return lines.length > 0;
}

// Returns the perplexity measures of pruned models.
function quantities() {
  return found.measures.filter((each) => each.model === "pruned" && each.name === "perplexity");
}

function drawTrade() {
  const all = quantities();
  document.getElementById("trade").hidden = !all.length;
  if (!all.length) return false;
  const chosen = all[document.getElementById("quantity").selectedIndex] ?? all[0];
  const points = found.jobs
    .map((job, at) => ({ title: `job ${at + 1}`, kind: `job-${at}`, x: job.sparsity, y: chosen.values[at] }))
    .filter((point) => point.x !== null && point.y !== null);
  drawPoints(document.getElementById("trade-chart"), points, { across: axisOf("sparsity", "share"), up: axisOf(`perplexity on ${chosen.on}`, "number") });
  return true;
}

function draw() {
  const isDrawn = [drawErrors(), drawTrade()].some(Boolean);
  state.textContent = isDrawn ? "" : "No block is pruned yet and no perplexity is measured.";
  state.hidden = isDrawn;
}

function offer() {
  const written = (each) => `perplexity on ${each.on}, ${Object.entries(each.conditions).map(([name, value]) => `${count(value)} ${{ sequence_length: "tokens per window", bos_per_window: "BOS per window" }[name] ?? name.replaceAll("_", " ")}`).join(", ")}`;
  document.getElementById("quantity").replaceChildren(...quantities().map((each) => Object.assign(document.createElement("option"), { textContent: written(each) })));
}

async function load() {
  const response = await fetch(pathOf(`/v1/jobs/compare${location.search}`)).catch(() => null);
  if (!response?.ok) {
    state.textContent = "The results cannot be loaded now; load the page again in a moment.";
    return;
  }
  found = await response.json();
  offer();
  draw();
  document.getElementById("quantity").addEventListener("change", draw);
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (width !== document.body.clientWidth) draw();
    width = document.body.clientWidth;
  }).observe(document.body);
}

load();
