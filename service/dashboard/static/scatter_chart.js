// Scatter chart with one point per job, a link each: lines of series, 95 % intervals, a front, a reference line, and marked
// columns for n:m patterns. Points that coincide are drawn next to each other.
import { LEFT, canvas, drawAxes, shape } from "./charts.js";
import { linear, logarithmic } from "./scales.js";

const RADIUS = 6;
const RIGHT = 14;
const MANY = 60;
const LETTER = 6.5;
const SHAPES = ["circle", "M-6,-6H6V6H-6Z", "M0,-7.5L7,5.5H-7Z", "M0,-8L8,0L0,8L-8,0Z", "M0,7.5L7,-5.5H-7Z", "M-2,-7H2V-2H7V2H2V7H-2V2H-7V-2H-2Z"];

// points: [{ title, kind, series, x, y, low, high, line, marked, isOnFront, href }]; `across` and `up` are axes of number_formats.js.
export function drawPoints(place, points, { across, up, isLogarithmic = false, dense = null, height = 280 }) {
  const [picture, width] = canvas(place, height, `${up.title} against ${across.title}. ${points.length === 1 ? "1 point" : `${points.length} points`}; the table below has their values`);
  picture.setAttribute("role", "group");
  const bottom = height - 46;
  const toX = linear(points.map((point) => point.x), LEFT + 24, width - 40);
  const bounds = points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]).concat(dense ?? []);
  const toY = (isLogarithmic ? logarithmic : linear)(bounds, bottom - 16, 44);
  const placed = apart(points.map((point) => ({ ...point, left: toX(point.x), top: toY(point.y), text: `${point.title}: ${across.text(point.x)}, ${up.text(point.y)}` })));
  drawAxes(picture, { toX, toY, across, up, width, height, bottom });
  drawColumns(picture, placed, bottom);
  if (dense !== null) drawDense(picture, toY(dense), width, `dense model ${up.text(dense)}`);
  const front = placed.filter((point) => point.isOnFront).sort(byPlace);
  if (front.length > 1) picture.append(path(front, "front"));
  for (const line of joined(placed)) picture.append(path(line, `line ${line[0].kind}`));
  for (const point of placed.filter((each) => Number.isFinite(each.low))) drawInterval(picture, point, toY);
  placed.forEach((point, at) => picture.append(link(point, at, placed.length > MANY ? 0.7 : 1)));
  place.replaceChildren(picture);
  return placed;
}

const byPlace = (a, b) => a.left - b.left || a.top - b.top;

// Moves points of the same place next to each other, so that each can be seen and reached.
function apart(points) {
  const groups = new Map();
  for (const point of points) {
    const key = `${Math.round(point.left / 3)} ${Math.round(point.top / 3)}`;
    groups.set(key, [...(groups.get(key) ?? []), point]);
  }
  for (const group of groups.values()) group.forEach((point, at) => (point.left += (at - (group.length - 1) / 2) * Math.min(RADIUS + 1, 60 / group.length)));
  return points;
}

function drawColumns(picture, placed, bottom) {
  const columns = new Map();
  for (const { marked, x, left } of placed.filter((point) => point.marked)) {
    const [names] = columns.get(x.toFixed(3)) ?? [new Set()];
    columns.set(x.toFixed(3), [names.add(marked), left]);
  }
  let end = -Infinity;
  for (const [names, left] of [...columns.values()].sort((a, b) => a[1] - b[1])) {
    const text = [...names].join(", "), half = (LETTER * text.length) / 2;
    picture.append(shape("line", { class: "column-of", x1: left, x2: left, y1: 40, y2: bottom }));
    if (left - half > end) picture.append(shape("text", { class: "column-of", x: left, y: 34, "text-anchor": "middle" }, text));
    end = Math.max(end, left + half);
  }
}

function drawDense(picture, y, width, text) {
  picture.append(shape("line", { class: "dense", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
  picture.append(shape("text", { class: "dense", x: width - RIGHT, y: y - 5, "text-anchor": "end" }, text));
}

// Returns the points of each line in the order of x.
function joined(points) {
  const groups = new Map();
  for (const point of points.filter((each) => each.line !== undefined)) groups.set(point.line, [...(groups.get(point.line) ?? []), point]);
  return [...groups.values()].filter((group) => group.length > 1).map((group) => group.sort(byPlace));
}

function path(points, kind) {
  const group = shape("g", { class: kind });
  group.append(shape("polyline", { points: points.map(({ left, top }) => `${left},${top}`).join(" ") }));
  return group;
}

function drawInterval(picture, { kind, left, low, high }, toY) {
  const group = shape("g", { class: `line interval ${kind}` });
  group.append(shape("line", { x1: left, x2: left, y1: toY(low), y2: toY(high) }));
  for (const end of [low, high]) group.append(shape("line", { x1: left - 4, x2: left + 4, y1: toY(end), y2: toY(end) }));
  picture.append(group);
}

// A series' mark: shapes differ as well as colours; the second six series have the same colours with other shapes.
export function mark(series, attributes) {
  const form = SHAPES[(series + Math.floor(series / SHAPES.length)) % SHAPES.length];
  return form === "circle" ? shape("circle", { r: RADIUS, ...attributes }) : shape("path", { d: form, ...attributes });
}

function link(point, at, scale) {
  const made = shape("a", { class: `line point ${point.kind}`, href: point.href, transform: `translate(${point.left} ${point.top})`, tabindex: at ? -1 : 0, "aria-label": point.text });
  const kind = point.marked ? "mark-of hollow" : "mark-of";
  made.append(shape("circle", { class: "hit", r: 11 }), mark(point.series, { class: kind, transform: `scale(${scale})` }));
  return made;
}
