// Scale of a search's candidates: measured points, and the open interval between the answer and the next that misses.
import { canvas, shape, titled } from "./charts.js";
import { pathOf } from "./addresses.js";

const SIDE = 28;
const LETTER = 7;
const ROW = 26;
const APART = 17;
const SMALLEST = 240;
const MARKS = { meets: "M-7,0L-2,6L8,-6", misses: "M-6,-6L6,6M6,-6L-6,6" };
const WORDS = { meets: "meets the target", misses: "does not meet the target", running: "running", queued: "queued", failed: "not measured" };

export function drawScale(place, { names, low, high, is_open: isOpen, points }) {
  const between = `${low === null ? "no candidate" : names[low]} meets the target, ${high === null ? "none" : names[high]} does not`;
  const last = Math.max(names.length - 1, 1), inner = Math.max(place.clientWidth, SMALLEST) - 2 * SIDE;
  const across = (at) => SIDE + (inner * at) / last;
  const rows = rowsOf(points, across), axis = 10 + ROW * Math.max(rows.length, 1);
  const [picture, width] = canvas(place, axis + 34, `${names.length} candidates from ${names[0]} to ${names.at(-1)}; ${between}`);
  picture.setAttribute("role", "group");
  const [from, to] = [low === null ? 0 : low, high === null ? names.length - 1 : high];
  if (isOpen && to > from) picture.append(shape("rect", { class: "open", x: across(from), width: across(to) - across(from), y: 6, height: axis - 6, rx: 4 }));
  picture.append(shape("line", { class: "axis", x1: SIDE, x2: width - SIDE, y1: axis, y2: axis }));
  names.forEach((_, at) => {
    if (inner / last > 3) picture.append(shape("line", { class: "axis", x1: across(at), x2: across(at), y1: axis, y2: axis + 4 }));
  });
  const placed = [];
  for (const at of [low, high, 0, names.length - 1, ...every(names.length)].filter((each) => each !== null)) {
    const half = (LETTER * names[at].length) / 2, x = Math.min(Math.max(across(at), half + 2), width - half - 2);
    if (placed.some(([other, its]) => Math.abs(other - x) < its + half + 4)) continue;
    placed.push([x, half]);
    picture.append(shape("text", { x, y: axis + 20, "text-anchor": "middle", class: at === low ? "answer-of" : "" }, names[at]));
  }
  rows.forEach((row, at) => row.forEach((point) => picture.append(tried(point, across(point.at), 6 + ROW * (at + 0.5)))));
  place.replaceChildren(picture);
}

// Rows of marks that do not overlap; the preset that is tried first has rows of its own.
function rowsOf(points, across) {
  const rows = [];
  for (const isFirst of [true, false]) {
    const base = rows.length;
    for (const point of points.filter((each) => each.first === isFirst)) {
      let at = base;
      while (rows[at]?.some((other) => Math.abs(across(other.at) - across(point.at)) < APART)) at += 1;
      (rows[at] ??= []).push(point);
    }
  }
  return rows;
}

function tried({ job, text, verdict }, x, y) {
  const link = shape("a", { href: pathOf(`/jobs/${job}`), class: `tried ${verdict}`, transform: `translate(${x} ${y})`, "aria-label": `${text} ${WORDS[verdict]}` });
  link.append(shape("circle", { class: "hit", r: 11 }), MARKS[verdict] ? shape("path", { d: MARKS[verdict] }) : shape("circle", { r: 6, class: "ring" }));
  return titled(link, `${text}: ${WORDS[verdict]}`);
}

const every = (count) => Array.from({ length: count }, (_, at) => at).filter((at) => count <= 12 || at % 5 === 0);
