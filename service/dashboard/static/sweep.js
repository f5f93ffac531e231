// Live page of one sweep: every event reloads the page's live parts; the chart is drawn from the rows of the table.
import { shape } from "./charts.js";
import { refresh } from "./live.js";
import { axisOf, element } from "./number_formats.js";
import { followPoints } from "./point_card.js";
import { drawPoints, mark } from "./scatter_chart.js";
import { drawScale } from "./search_scale.js";
import { streamOf } from "./stream.js";

const BREATH_MS = 400;
const STATES_MS = 8000;
const COLOURS = 6;
const PHONE = 520;
const page = document.getElementById("sweep");
const place = document.getElementById("points-chart");
const status = () => document.getElementById("status").dataset;
let drawn = "";
let isFollowing = false;
let waiting = 0;

function readSoon() {
  waiting ||= setTimeout(() => {
    waiting = 0;
    refresh();
  }, BREATH_MS);
}

function pointOf(row) {
  const link = row.querySelector("th a"), { series, line, x, y, low, high } = row.dataset;
  const numbers = { x: Number(x), y: Number(y), low: low && Number(low), high: high && Number(high) };
  return { row: link.id, title: link.textContent, href: link.getAttribute("href"), series: Number(series), line, kind: `job-${series % COLOURS}`, isOnFront: "front" in row.dataset, ...numbers };
}

function draw() {
  const { axes, log, dense, series } = document.getElementById("points").dataset;
  const points = [...document.querySelectorAll("#points tr[data-x]")].map(pointOf);
  const signature = JSON.stringify([axes, log, dense, place.parentElement.clientWidth, points]);
  if (signature === drawn) return;
  drawn = signature;
  const focused = document.activeElement?.closest?.("a.point")?.getAttribute("href");
  place.hidden = !points.length;
  if (points.length) drawChart(points, JSON.parse(axes), log === "yes", dense === undefined ? null : Number(dense));
  explain(points, JSON.parse(series), dense);
  if (focused) place.querySelector(`a.point[href="${focused}"]`)?.focus({ preventScroll: true });
}

function drawChart(points, axes, isLogarithmic, dense) {
  const [across, up] = [axes.x, axes.y].map(({ title, kind }) => axisOf(title, kind));
  const height = place.parentElement.clientWidth < PHONE ? 320 : 420;
  const placed = drawPoints(place, points, { across, up, isLogarithmic, dense, height, labelled: false });
  followPoints(place, placed, (point) => document.getElementById(point.row).closest("tr"), (point) => (Number.isFinite(point.low) ? `${up.text(point.low)} to ${up.text(point.high)}` : ""));
}

function explain(points, series, dense) {
  const entry = (text, drawing) => {
    const made = element("li", text), picture = shape("svg", { width: 26, height: 18, viewBox: "-13 -9 26 18", "aria-hidden": "true" });
    picture.append(drawing);
    made.prepend(picture);
    return made;
  };
  const group = (kind, ...parts) => {
    const made = shape("g", { class: kind });
    made.append(...parts);
    return made;
  };
  const across = () => shape("line", { x1: -13, x2: 13, y1: 0, y2: 0 });
  const known = series.map((title, at) => [title, at]).filter(([, at]) => points.some((point) => point.series === at));
  const list = known.map(([title, at]) => entry(title, group(`line job-${at % COLOURS}`, mark(at, { class: "mark-of" }))));
  if (points.filter((point) => point.isOnFront).length > 1) list.push(entry("Pareto front", group("front", across())));
  if (dense !== undefined) list.push(entry("dense model", group("dense", across())));
  document.getElementById("series-key").replaceChildren(...list);
}

function drawNarrowing() {
  const scale = document.getElementById("scale");
  if (scale) drawScale(document.getElementById("narrowing"), JSON.parse(scale.dataset.scale));
}

// The choice of axes is in the URL; another measure has its own default scale.
document.addEventListener("change", (event) => {
  const { form, name, value } = event.target;
  if (!form?.closest("#choice")) return;
  const query = new URLSearchParams(location.search);
  if (name === "y") query.delete("scale");
  query.set(name, value);
  history.replaceState(null, "", `?${query}`);
  refresh();
});

function follow() {
  if (isFollowing || status().ended === "yes") return;
  isFollowing = true;
  streamOf(page.dataset.path, page.dataset.types.split(" "), Number(status().seq), readSoon, () => {
    isFollowing = false;
    refresh();
  });
}

function show() {
  draw();
  drawNarrowing();
  follow(); // again after a retry
}

document.addEventListener("refreshed", show);
new ResizeObserver(() => {
  draw();
  drawNarrowing();
}).observe(document.getElementById("content"));
show();
// a job's start is no event of the sweep
setInterval(() => document.hidden || status().ended === "yes" || readSoon(), STATES_MS);
