// Scatter chart with one point per job. Overlapping points are drawn as concentric rings with a shared label.
import { LEFT, canvas, shape, titled } from "./charts.js";
import { linear } from "./scales.js";

const HEIGHT = 280;
const BOTTOM = HEIGHT - 46;
const RADIUS = 6;
const RING = 5;
const LETTER = 6.5;

// points: [{ title, kind, x, y }]
export function drawPoints(place, points, { across, up, writtenAcross, writtenUp }) {
  const summary = points.map((point) => `${point.title}: ${writtenAcross(point.x)}, ${writtenUp(point.y)}`).join("; ");
  const [picture, width] = canvas(place, HEIGHT, `${up} against ${across}. ${summary}`);
  const toX = linear(points.map((point) => point.x), LEFT + 24, width - 40);
  const toY = linear(points.map((point) => point.y), BOTTOM - 24, 48);
  for (const tick of toY.ticks) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - 14, y1: toY(tick), y2: toY(tick) }));
    picture.append(shape("text", { x: LEFT - 8, y: toY(tick) + 4, "text-anchor": "end" }, Number(tick.toPrecision(3)).toString()));
  }
  for (const tick of toX.ticks) {
    picture.append(shape("text", { x: toX(tick), y: BOTTOM + 16, "text-anchor": "middle" }, writtenAcross(tick)));
  }
  picture.append(shape("text", { x: LEFT, y: 14 }, up), shape("text", { x: width - 14, y: HEIGHT - 8, "text-anchor": "end" }, across));
  const describe = (point) => `${point.title}: ${writtenAcross(point.x)}, ${writtenUp(point.y)}`;
  const taken = [];
  for (const spot of spots(points.map((point) => ({ ...point, left: toX(point.x), top: toY(point.y), text: describe(point) })))) {
    spot.forEach((point, at) => picture.append(ring(point, spot[0], at)));
    picture.append(label(spot, width, taken));
  }
  place.replaceChildren(picture);
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
