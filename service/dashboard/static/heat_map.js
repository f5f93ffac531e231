// Heat map of matrices by block with a colour bar. The card of a cell is shown on hover and with the arrow keys; a click pins it.
import { canvas, columnTicks, replaceChart, shape } from "./charts.js";
import { definitionList, element } from "./number_formats.js";
import { placeCard } from "./point_card.js";

const TALL = 22;
const TOP = 8;
const LETTER = 6.6;
const LINE = 13;
const BAR = 12;
const PARTS = ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"];
const pinned = new WeakMap(); // place → { row, column }
const chosen = new WeakMap(); // likewise; kept when the chart is drawn again

// Order of a matrix in its block as the data flows through it; unknown names stay in the model's order behind the attention's.
function orderOf(name) {
  const at = PARTS.findIndex((part) => name.endsWith(part));
  return at < 0 ? 4.5 : at;
}

// cells: [{ row, column, value }]; darker means nearer to `high`. `lowest` and `highest` are the ends of the colour bar as text.
export function drawHeat(place, cells, { low, high, text, label, lowest, highest, range = null }) {
  const rows = [...new Set(cells.map((cell) => cell.row))].sort((a, b) => orderOf(a) - orderOf(b));
  const first = Math.min(range?.[0] ?? Infinity, ...cells.map((cell) => cell.column)), last = Math.max(range?.[1] ?? 0, ...cells.map((cell) => cell.column));
  const available = place.clientWidth || 240, room = Math.max(available * 0.4, 110);
  const titles = rows.map((row) => broken(row, Math.floor((room - 12) / LETTER)));
  const names = Math.min(Math.max(...titles.flat().map((line) => line.length)) * LETTER + 12, room);
  const tops = [];
  let bottom = TOP;
  for (const lines of titles) {
    tops.push(bottom);
    bottom += Math.max(TALL, LINE * lines.length + 6);
  }
  const [picture, width] = canvas(place, bottom + 72, `${label}: ${rows.length} kinds of matrices in ${last - first + 1} blocks, from ${lowest} (light) to ${highest} (dark)`);
  const wide = (width - names - 14) / (last - first + 1), at = (column) => names + (column - first) * wide;
  titles.forEach((lines, row) => lines.forEach((line, number) => picture.append(shape("text", { x: names - 8, y: tops[row] + 15 + LINE * number, "text-anchor": "end" }, line))));
  const strength = (value) => (0.06 + 0.94 * (high > low ? (value - low) / (high - low) : 0)).toFixed(3);
  const boxes = cells.map((cell) => {
    const row = rows.indexOf(cell.row), tall = (tops[row + 1] ?? bottom) - tops[row] - 1;
    const box = shape("rect", { class: "cell", x: at(cell.column), y: tops[row], width: Math.max(wide - 1, 1), height: tall, "fill-opacity": strength(cell.value) });
    picture.append(box);
    return { ...cell, box, number: row, left: at(cell.column) + wide / 2, top: tops[row] };
  });
  for (const column of columnTicks(first, last, width - names + 56)) picture.append(shape("text", { class: "tick-x", x: at(column) + wide / 2, y: bottom + 16, "text-anchor": "middle" }, String(column)));
  picture.append(shape("text", { class: "title-of", x: width - 14, y: bottom + 34, "text-anchor": "end" }, "Block"));
  drawBar(picture, { names, width, top: bottom + 44, lowest, highest });
  followCells(place, picture, boxes, text, replaceChart(place, picture));
}

// Lines of a name, broken at its dots and underscores, none of them cut.
function broken(name, most) {
  const lines = [""];
  for (const part of name.split(/(?<=[._])/)) {
    if (lines.at(-1) && lines.at(-1).length + part.length > most) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines;
}

function drawBar(picture, { names, width, top, lowest, highest }) {
  const steps = 24, long = Math.min(width - names - 14, 240);
  for (let at = 0; at < steps; at += 1) picture.append(shape("rect", { class: "bar-of", x: names + (long * at) / steps, y: top, width: long / steps + 0.5, height: BAR, "fill-opacity": (0.06 + (0.94 * at) / (steps - 1)).toFixed(3) }));
  picture.append(shape("text", { class: "low-of", x: names, y: top + BAR + 14 }, lowest));
  picture.append(shape("text", { class: "high-of", x: names + long, y: top + BAR + 14, "text-anchor": "end" }, highest));
}

function followCells(place, picture, boxes, text, hasFocus) {
  const card = element("div", "", "card-of");
  card.setAttribute("role", "status");
  card.hidden = true;
  place.append(card);
  let shown = null;

  function show(cell) {
    shown = cell;
    for (const other of boxes) other.box.classList.toggle("chosen", other === cell);
    const isPinned = cell && same(pinned.get(place), cell);
    card.hidden = !cell;
    if (!cell) return;
    card.replaceChildren(element("strong", cell.row), definitionList([["Block", String(cell.column)], ["Value", text(cell.value)], ["Pinned", isPinned ? "click or Escape to release" : ""]]));
    placeCard(place, card, cell);
  }

  const cellOf = (cells) => boxes.find((cell) => same(cells.get(place), cell)) ?? null;
  const kept = () => cellOf(pinned);
  const choose = (cell) => {
    chosen.set(place, cell && spotOf(cell));
    show(cell);
  };
  const pin = (cell) => {
    if (same(pinned.get(place), cell)) pinned.delete(place);
    else pinned.set(place, spotOf(cell));
    choose(cell);
  };
  for (const cell of boxes) {
    cell.box.addEventListener("pointerenter", () => kept() || choose(cell));
    cell.box.addEventListener("click", () => pin(cell));
  }
  picture.addEventListener("pointerleave", () => choose(kept()));
  picture.addEventListener("focus", () => choose(cellOf(chosen) ?? kept() ?? boxes[0]));
  picture.addEventListener("blur", () => show(kept()));
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      pinned.delete(place);
      choose(null);
    }
    if (event.key === "Enter" && shown) pin(shown);
    const [across, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (!across && !down) return;
    event.preventDefault();
    const from = shown ?? boxes[0];
    const next = boxes.find((cell) => cell.number === from.number + down && cell.column === from.column + across);
    if (next) choose(next);
  });
  show((hasFocus && cellOf(chosen)) || kept());
}

const spotOf = ({ row, column }) => ({ row, column });
const same = (one, other) => one?.row === other.row && one.column === other.column;
