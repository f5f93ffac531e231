// Chart of points against sparsity or another measure, drawn from the rows of the table `points`: pages of sweeps, models
// and comparisons. The choice of measures is in the URL.
import { shape } from "./charts.js";
import { refresh } from "./live.js";
import { axisOf, element } from "./number_formats.js";
import { followPoints } from "./point_card.js";
import { drawPoints, mark } from "./scatter_chart.js";

const COLOURS = 6;
const PHONE = 520;
const place = document.getElementById("points-chart");
let drawn = "";

function pointOf(row) {
  const link = row.querySelector("th a"), { series, line, x, y, low, high, marked } = row.dataset;
  const numbers = { x: Number(x), y: Number(y), low: low && Number(low), high: high && Number(high) };
  return { row: link.id, title: titleOf(row), href: link.getAttribute("href"), series: Number(series), line, marked, kind: `job-${series % COLOURS}`, isOnFront: "front" in row.dataset, ...numbers };
}

// A point's name: the link, with the recipe in the cell behind it where the table has one.
function titleOf(row) {
  const recipe = row.querySelector("[data-recipe]")?.textContent;
  return [row.querySelector("th a").textContent, recipe].filter(Boolean).join(", ");
}

// Draws the chart again if its data or width have changed.
export function drawChart() {
  const table = document.getElementById("points");
  if (!table) return;
  const { axes, log, dense, series } = table.dataset;
  const points = [...table.querySelectorAll("tr[data-x]")].map(pointOf);
  const signature = JSON.stringify([axes, log, dense, place.parentElement.clientWidth, points]);
  if (signature === drawn) return;
  drawn = signature;
  const focused = document.activeElement?.closest?.("a.point")?.getAttribute("href");
  place.hidden = !points.length;
  if (points.length) draw(points, JSON.parse(axes), log === "yes", dense === undefined ? null : Number(dense));
  explain(points, JSON.parse(series), dense);
  if (focused) place.querySelector(`a.point[href="${focused}"]`)?.focus({ preventScroll: true });
}

function draw(points, axes, isLogarithmic, dense) {
  const [across, up] = [axes.x, axes.y].map(({ title, kind }) => axisOf(title, kind));
  const height = place.parentElement.clientWidth < PHONE ? 320 : 420;
  const placed = drawPoints(place, points, { across, up, isLogarithmic, dense, height });
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
  if (points.some((point) => point.marked)) list.push(entry("hollow: n:m pattern", group("line job-5", mark(0, { class: "mark-of hollow" }))));
  if (points.filter((point) => point.isOnFront).length > 1) list.push(entry("Pareto front", group("front", across())));
  if (dense !== undefined) list.push(entry("dense model", group("dense", across())));
  document.getElementById("series-key").replaceChildren(...list);
}

// Reloads the page's live parts when a choice changes; another measure has its own conditions and default scale.
export function followChoices() {
  document.addEventListener("change", (event) => {
    const { form, name, value } = event.target;
    if (!form?.closest("#choice")) return;
    const query = new URLSearchParams(location.search);
    if (name === "y") ["scale", "on"].forEach((each) => query.delete(each));
    query.delete(name);
    query.set(name, value);
    history.replaceState(null, "", `?${query}`);
    refresh();
  });
  document.addEventListener("refreshed", drawChart);
  new ResizeObserver(drawChart).observe(document.getElementById("content"));
  drawChart();
}
