// Charts in plain SVG: axes, and lines over blocks. Styled by attributes and classes only, because the page's
// Content-Security-Policy forbids inline styles; drawn at the available width, so that text keeps its size on a phone.
import { followColumns } from "./line_card.js";
import { logarithmic } from "./scales.js";

const SVG = "http://www.w3.org/2000/svg";
export const LEFT = 56;
const SMALLEST = 240;
const ROW = 18;
const LETTER = 6.5;
const BOLD = 7.5;
const RIGHT = 14;
const TOP = 34;
const BOTTOM = 236;

export function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

export function titled(made, title) {
  made.append(shape("title", {}, title));
  return made;
}

export function canvas(place, height, label) {
  const width = Math.max(place.clientWidth, SMALLEST);
  const picture = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  return [picture, width];
}

// Replaces the chart at a place. Returns whether it had the focus, which it keeps.
export function replaceChart(place, picture) {
  const hasFocus = place.contains(document.activeElement);
  place.replaceChildren(picture);
  picture.setAttribute("tabindex", "0");
  if (hasFocus) picture.focus({ preventScroll: true });
  return hasFocus;
}

// Draws again when the width of an element changes. Its height does not count: a chart's card changes it on phones.
export function onResize(observed, draw) {
  let width = observed.clientWidth;
  new ResizeObserver(() => {
    if (observed.clientWidth === width) return;
    width = observed.clientWidth;
    draw();
  }).observe(observed);
}

// Axes of a scatter chart; `across` and `up` are axes of number_formats.js.
export function drawAxes(picture, { toX, toY, across, up, width, height, bottom }) {
  drawGrid(picture, toY, (tick) => up.tick(tick, toY), width);
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

function drawGrid(picture, toY, written, width) {
  for (const tick of toY.ticks) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: toY(tick), y2: toY(tick) }));
    picture.append(shape("text", { class: "tick-y", x: LEFT - 8, y: toY(tick) + 4, "text-anchor": "end" }, written(tick)));
  }
}

// Titles wider than the chart are condensed.
export function drawTitle(picture, title, at, width) {
  const most = width - 24, condensed = BOLD * title.length > most ? { textLength: most, lengthAdjust: "spacingAndGlyphs" } : {};
  picture.append(shape("text", { class: "title-of", ...at, ...condensed }, title));
}

// lines: [{ title, kind, points: [[x, y]] }]. `what`: title of the y axis; `range`: first and last value of the x axis, by
// default those of the points, so that a chart that grows keeps its places; `written`: format of the y ticks.
export function drawLines(place, lines, { x, what = "Relative error", describe, scale = logarithmic, written = null, range = null }) {
  const key = keyOf(lines, Math.max(place.clientWidth, SMALLEST));
  const height = BOTTOM + 46 + ROW * (key.at(-1).row + 1);
  const columns = [...new Set(lines.flatMap((line) => line.points.map(([column]) => column)))].sort((a, b) => a - b);
  const summary = lines.map((line) => `${line.title} ${describe(line.points.at(-1)[1])}`).join(", ");
  const [picture, width] = canvas(place, height, `${what} of ${columns.length} ${x}s; last ${x}: ${summary}`);
  const [first, last] = [Math.min(range?.[0] ?? Infinity, columns[0]), Math.max(range?.[1] ?? -Infinity, columns.at(-1))];
  const across = (column) => LEFT + 6 + ((width - LEFT - RIGHT - 12) * (first === last ? 0.5 : (column - first) / (last - first)));
  const up = scale(lines.flatMap((line) => line.points.map(([, value]) => value)), BOTTOM, TOP);
  drawGrid(picture, up, written ?? up.written, width);
  for (const column of columnTicks(first, last, width)) {
    picture.append(shape("text", { class: "tick-x", x: across(column), y: BOTTOM + 18, "text-anchor": "middle" }, String(column)));
  }
  drawTitle(picture, what, { x: 10, y: 16 }, width);
  drawTitle(picture, `${x[0].toUpperCase()}${x.slice(1)}`, { x: width - RIGHT, y: BOTTOM + 36, "text-anchor": "end" }, width);
  for (const line of lines) drawLine(picture, line, across, up);
  drawKey(picture, key, BOTTOM + 56);
  const hasFocus = replaceChart(place, picture);
  followColumns(place, picture, lines, { columns, across, x, describe, top: TOP - 8, bottom: BOTTOM, hasFocus });
}

function drawLine(picture, line, across, up) {
  const group = shape("g", { class: `line ${line.kind}` });
  group.append(shape("polyline", { points: line.points.map(([column, value]) => `${across(column)},${up(value)}`).join(" ") }));
  for (const [column, value] of line.points) group.append(shape("circle", { cx: across(column), cy: up(value), r: 3 }));
  picture.append(group);
}

// Returns the legend's layout, wrapped into rows at the given width.
function keyOf(lines, width) {
  let left = LEFT, row = 0;
  return lines.map((line) => {
    const wide = 24 + LETTER * line.title.length + 14;
    if (left > LEFT && left + wide > width) [left, row] = [LEFT, row + 1];
    left += wide;
    return { ...line, left: left - wide, row };
  });
}

function drawKey(picture, key, top) {
  for (const { title, kind, left, row } of key) {
    const y = top + ROW * row;
    const entry = shape("g", { class: `line ${kind}` });
    entry.append(shape("line", { x1: left, x2: left + 18, y1: y - 4, y2: y - 4 }), shape("text", { x: left + 24, y }, title));
    picture.append(entry);
  }
}

// Returns whole numbers from the first to the last column, as many as have room, at steps of 1, 2 or 5 times a power of ten.
export function columnTicks(first, last, width) {
  const room = Math.max(Math.floor((width - LEFT) / 44), 1);
  let step = 1;
  for (let at = 0; Math.floor((last - first) / step) + 1 > room; at += 1) step = [2, 5, 10][at % 3] * 10 ** Math.floor(at / 3);
  const start = Math.ceil(first / step) * step;
  return Array.from({ length: Math.floor((last - start) / step) + 1 }, (_, at) => start + at * step);
}
