// Scatter chart with one point per job: optional series lines, 95 % intervals, a front and a horizontal reference line.
// Labelled points that overlap are drawn as concentric rings with a shared label; points with an address are links.
import { LEFT, canvas, shape, titled } from "./charts.js";
import { linear, logarithmic } from "./scales.js";

const RADIUS = 6;
const RING = 5;
const LETTER = 6.5;
const BOLD = 7.5;
const RIGHT = 14;
const MANY = 60;
const SHAPES = ["circle", "M-6,-6H6V6H-6Z", "M0,-7.5L7,5.5H-7Z", "M0,-8L8,0L0,8L-8,0Z", "M0,7.5L7,-5.5H-7Z", "M-2,-7H2V-2H7V2H2V7H-2V2H-7V-2H-2Z"];

// points: [{ title, kind, series, x, y, low, high, line, isOnFront, href }]; `across` and `up` are axes of number_formats.js.
export function drawPoints(place, points, { across, up, isLogarithmic = false, dense = null, height = 280, labelled = true }) {
  const describe = (point) => `${point.title}: ${across.text(point.x)}, ${up.text(point.y)}`;
  const isLinked = points.some((point) => point.href);
  const summary = isLinked ? `${points.length} points; the table below has their values` : points.map(describe).join("; ");
  const [picture, width] = canvas(place, height, `${up.title} against ${across.title}. ${summary}`);
  if (isLinked) picture.setAttribute("role", "group");
  const bottom = height - 46;
  const toX = linear(points.map((point) => point.x), LEFT + 24, width - 40);
  const bounds = points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]).concat(dense ?? []);
  const toY = (isLogarithmic ? logarithmic : linear)(bounds, bottom - 16, labelled ? 48 : 36);
  const spot = (point) => ({ ...point, left: toX(point.x), top: toY(point.y), text: describe(point) });
  const placed = points.map(spot);
  drawAxes(picture, { toX, toY, across, up, width, height, bottom });
  if (dense !== null) drawDense(picture, toY(dense), width, `dense model ${up.text(dense)}`);
  const front = placed.filter((point) => point.isOnFront).sort((a, b) => a.left - b.left || a.top - b.top);
  if (front.length > 1) picture.append(path(front, "front"));
  for (const line of joined(placed, (point) => point.line)) picture.append(path(line, `line ${line[0].kind}`));
  for (const point of placed.filter((each) => Number.isFinite(each.low))) drawInterval(picture, point, toY);
  if (labelled) drawSpots(picture, placed, width);
  else placed.forEach((point, at) => picture.append(link(point, at, placed.length > MANY ? 0.7 : 1)));
  place.replaceChildren(picture);
  return placed;
}

function drawAxes(picture, { toX, toY, across, up, width, height, bottom }) {
  for (const tick of toY.ticks) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: toY(tick), y2: toY(tick) }));
    picture.append(shape("text", { class: "tick-y", x: LEFT - 8, y: toY(tick) + 4, "text-anchor": "end" }, up.tick(tick, toY)));
  }
  const half = Math.ceil((LETTER * Math.max(...toX.ticks.map((tick) => across.tick(tick, toX).length))) / 2);
  let end = -Infinity;
  for (const tick of toX.ticks.filter((each) => toX(each) + half < width)) {
    if (toX(tick) - half < end + 6) continue;
    end = toX(tick) + half;
    picture.append(shape("text", { class: "tick-x", x: toX(tick), y: bottom + 16, "text-anchor": "middle" }, across.tick(tick, toX)));
  }
  drawTitle(picture, up.title, { x: 10, y: 16 }, width);
  drawTitle(picture, across.title, { x: width - RIGHT, y: height - 8, "text-anchor": "end" }, width);
}

// Titles wider than the chart are condensed.
function drawTitle(picture, title, at, width) {
  const most = width - 24, condensed = BOLD * title.length > most ? { textLength: most, lengthAdjust: "spacingAndGlyphs" } : {};
  picture.append(shape("text", { class: "title-of", ...at, ...condensed }, title));
}

function drawDense(picture, y, width, text) {
  picture.append(shape("line", { class: "dense", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
  picture.append(shape("text", { class: "dense", x: width - RIGHT, y: y - 5, "text-anchor": "end" }, text));
}

// Groups points by a key, each group in the order of x.
function joined(points, key) {
  const groups = new Map();
  for (const point of points.filter((each) => key(each) !== undefined)) groups.set(key(point), [...(groups.get(key(point)) ?? []), point]);
  return [...groups.values()].filter((group) => group.length > 1).map((group) => group.sort((a, b) => a.left - b.left || a.top - b.top));
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

// A series' mark: shapes differ as well as colours.
export function mark(series, attributes) {
  const form = SHAPES[series % SHAPES.length];
  return form === "circle" ? shape("circle", { r: RADIUS, ...attributes }) : shape("path", { d: form, ...attributes });
}

function link(point, at, scale) {
  const made = shape("a", { class: `line point ${point.kind}`, href: point.href, transform: `translate(${point.left} ${point.top})`, tabindex: at ? -1 : 0, "aria-label": point.text });
  made.append(shape("circle", { class: "hit", r: 11 }), mark(point.series, { class: "mark-of", transform: `scale(${scale})` }));
  return made;
}

function drawSpots(picture, placed, width) {
  const taken = [];
  for (const spot of spots(placed)) {
    spot.forEach((point, at) => picture.append(ring(point, spot[0], at)));
    picture.append(label(spot, width, taken));
  }
}

// Groups overlapping points.
function spots(points) {
  const found = [];
  for (const point of points) {
    const near = found.find(([first]) => Math.hypot(first.left - point.left, first.top - point.top) < 2 * RADIUS);
    if (near) near.push(point);
    else found.push([point]);
  }
  return found;
}

function ring(point, { left, top }, at) {
  const group = shape("g", { class: `line ${point.kind}` });
  const circle = shape("circle", { cx: left, cy: top, r: RADIUS + RING * at, class: at ? "ring" : "dot" });
  group.append(titled(circle, point.text));
  return group;
}

// Places the label where no other is: above, below, right or left; above if all are taken.
function label(spot, width, taken) {
  const [{ left, top }] = spot;
  const text = spot.map((point) => point.title).join(", "), half = (LETTER * text.length) / 2, off = RADIUS + RING * spot.length;
  const centre = Math.min(Math.max(left, half + 4), width - half - 4);
  const places = [[centre, top - off], [centre, top + off + 9], [left + off + half, top + 4], [left - off - half, top + 4]];
  const isFree = ([x, y]) => x - half > LEFT && x + half < width && taken.every((box) => Math.abs(box.x - x) > box.half + half || Math.abs(box.y - y) > 13);
  const [x, y] = places.find(isFree) ?? places[0];
  taken.push({ x, y, half });
  const group = shape("g", { class: "label-of" });
  group.append(shape("text", { x, y, "text-anchor": "middle" }, text));
  return group;
}
