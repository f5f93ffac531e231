// Two charts in plain SVG: lines over blocks, and a heat map. Shapes are told by attributes and classes alone, as the page's
// Content-Security-Policy wants it, and drawn for the width there is, so that text keeps its size on a phone.

const SVG = "http://www.w3.org/2000/svg";
export const LEFT = 56;
const SMALLEST = 240;

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

// lines: [{ title, kind, points: [[x, y]] }]; y is drawn on a logarithmic scale, for errors differ by powers of ten.
export function drawLines(place, lines, { x, describe }) {
  const height = 260;
  const values = lines.flatMap((line) => line.points.map(([, value]) => value)).filter((value) => value > 0);
  const columns = [...new Set(lines.flatMap((line) => line.points.map(([column]) => column)))].sort((a, b) => a - b);
  const summary = lines.map((line) => `${line.title} ${describe(line.points.at(-1)[1])}`).join(", ");
  const [picture, width] = canvas(place, height, `Errors of ${columns.length} blocks; in the last one: ${summary}`);
  const low = Math.log10(Math.min(...values, 1)), high = Math.log10(Math.max(...values, 1e-6));
  const bottom = height - 46, span = Math.max(high - low, 0.3), middle = (high + low) / 2;
  const [first, last] = [columns[0], columns.at(-1)];
  const across = (column) => LEFT + ((width - LEFT - 14) * (column - first)) / Math.max(last - first, 1);
  const up = (value) => bottom - ((bottom - 12) * (Math.log10(Math.max(value, 1e-12)) - (middle - span / 2))) / span;
  for (const tick of logarithmicTicks(middle - span / 2, middle + span / 2)) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - 14, y1: up(tick), y2: up(tick) }));
    picture.append(shape("text", { x: LEFT - 8, y: up(tick) + 4, "text-anchor": "end" }, tick.toPrecision(1)));
  }
  for (const column of columnTicks(columns, width)) {
    picture.append(shape("text", { x: across(column), y: bottom + 18, "text-anchor": "middle" }, String(column)));
  }
  for (const line of lines) drawLine(picture, line, across, up, { x, describe });
  drawKey(picture, lines, height - 8);
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

function drawKey(picture, lines, y) {
  let at = LEFT;
  for (const line of lines) {
    const entry = shape("g", { class: `line ${line.kind}` });
    entry.append(shape("line", { x1: at, x2: at + 18, y1: y - 4, y2: y - 4 }), shape("text", { x: at + 24, y }, line.title));
    picture.append(entry);
    at += 24 + 6.5 * line.title.length + 14;
  }
}

function logarithmicTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (Math.log10(tick) >= low - 1e-9 && Math.log10(tick) <= high + 1e-9) ticks.push(tick);
    }
  }
  return ticks.length > 7 ? ticks.filter((tick) => /^1/.test(tick.toExponential())) : ticks;
}

function columnTicks(columns, width) {
  const step = Math.ceil(columns.length / Math.max(Math.floor((width - LEFT) / 44), 1));
  return columns.filter((_, number) => number % step === 0);
}

// cells: [{ row, column, value }]; the darker, the nearer to `high`.
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
