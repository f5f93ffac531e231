// Two charts in plain SVG: lines over blocks, and a heat map. Styled by attributes and classes only, because the page's
// Content-Security-Policy forbids inline styles; drawn at the available width, so that text keeps its size on a phone.
import { logarithmic } from "./scales.js";

const SVG = "http://www.w3.org/2000/svg";
export const LEFT = 56;
const SMALLEST = 240;
const ROW = 18;

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

// lines: [{ title, kind, points: [[x, y]] }]
export function drawLines(place, lines, { x, what = "Errors", describe, scale = logarithmic, written = null }) {
  const key = keyOf(lines, Math.max(place.clientWidth, SMALLEST));
  const height = 260 + ROW * key.at(-1).row, bottom = 214;
  const columns = [...new Set(lines.flatMap((line) => line.points.map(([column]) => column)))].sort((a, b) => a - b);
  const summary = lines.map((line) => `${line.title} ${describe(line.points.at(-1)[1])}`).join(", ");
  const [picture, width] = canvas(place, height, `${what} of ${columns.length} blocks; last block: ${summary}`);
  const [first, last] = [columns[0], columns.at(-1)];
  const across = (column) => LEFT + ((width - LEFT - 14) * (column - first)) / Math.max(last - first, 1);
  const up = scale(lines.flatMap((line) => line.points.map(([, value]) => value)), bottom, 12);
  for (const tick of up.ticks) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - 14, y1: up(tick), y2: up(tick) }));
    picture.append(shape("text", { x: LEFT - 8, y: up(tick) + 4, "text-anchor": "end" }, (written ?? up.written)(tick)));
  }
  for (const column of columnTicks(columns, width)) {
    picture.append(shape("text", { x: across(column), y: bottom + 18, "text-anchor": "middle" }, String(column)));
  }
  for (const line of lines) drawLine(picture, line, across, up, { x, describe });
  drawKey(picture, key, bottom + 38);
  place.replaceChildren(picture);
}

function drawLine(picture, line, across, up, { x, describe }) {
  const group = shape("g", { class: `line ${line.kind}` });
  group.append(shape("polyline", { points: line.points.map(([column, value]) => `${across(column)},${up(value)}`).join(" ") }));
  for (const [column, value] of line.points) {
    group.append(titled(shape("circle", { cx: across(column), cy: up(value), r: 3 }), `${line.title}, ${x} ${column}: ${describe(value)}`));
  }
  picture.append(group);
}

// Returns the legend's layout, wrapped into rows at the given width.
function keyOf(lines, width) {
  let left = LEFT, row = 0;
  return lines.map((line) => {
    const wide = 24 + 6.5 * line.title.length + 14;
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

function columnTicks(columns, width) {
  const step = Math.ceil(columns.length / Math.max(Math.floor((width - LEFT) / 44), 1));
  return columns.filter((_, number) => number % step === 0);
}

// cells: [{ row, column, value }]; darker means nearer to `high`.
export function drawHeat(place, cells, { low, high, text, label }) {
  const rows = [...new Set(cells.map((cell) => cell.row))];
  const columns = [...new Set(cells.map((cell) => cell.column))].sort((a, b) => a - b);
  const tall = 22, top = 4, names = Math.min(Math.max(...rows.map((row) => row.length)) * 7 + 12, Math.max(place.clientWidth * 0.45, 90));
  const [picture, width] = canvas(place, top + rows.length * tall + 26, `${label}: ${rows.length} kinds of matrices in ${columns.length} blocks`);
  const wide = (width - names - 14) / columns.length;
  rows.forEach((row, number) => {
    const shown = row.length * 7 + 12 > names ? `…${row.slice(-Math.floor((names - 19) / 7))}` : row;
    picture.append(titled(shape("text", { x: names - 8, y: top + number * tall + 15, "text-anchor": "end" }, shown), row));
  });
  for (const cell of cells) {
    const at = { x: names + columns.indexOf(cell.column) * wide, y: top + rows.indexOf(cell.row) * tall };
    const strength = high > low ? (cell.value - low) / (high - low) : 0;
    const box = shape("rect", { class: "cell", ...at, width: Math.max(wide - 1, 1), height: tall - 1, "fill-opacity": (0.06 + 0.94 * strength).toFixed(3) });
    picture.append(titled(box, `${cell.row}, block ${cell.column}: ${text(cell.value)}`));
  }
  for (const column of columnTicks(columns, width - names + LEFT)) {
    const x = names + (columns.indexOf(column) + 0.5) * wide;
    picture.append(shape("text", { x, y: top + rows.length * tall + 18, "text-anchor": "middle" }, String(column)));
  }
  place.replaceChildren(picture);
}
