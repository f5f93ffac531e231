// A chart of points: two figures of each job.
import { LEFT, canvas, shape, titled } from "./charts.js";

const HEIGHT = 280;
const BOTTOM = HEIGHT - 46;

// points: [{ title, kind, x, y }]
export function drawPoints(place, points, { across, up, writtenAcross, writtenUp }) {
  const summary = points.map((point) => `${point.title}: ${writtenAcross(point.x)}, ${writtenUp(point.y)}`).join("; ");
  const [picture, width] = canvas(place, HEIGHT, `${up} against ${across}. ${summary}`);
  const toX = scale(points.map((point) => point.x), LEFT + 16, width - 40);
  const toY = scale(points.map((point) => point.y), BOTTOM - 12, 32);
  for (const tick of toY.ticks) {
    picture.append(shape("line", { class: "grid", x1: LEFT, x2: width - 14, y1: toY(tick), y2: toY(tick) }));
    picture.append(shape("text", { x: LEFT - 8, y: toY(tick) + 4, "text-anchor": "end" }, Number(tick.toPrecision(3)).toString()));
  }
  for (const tick of toX.ticks) {
    picture.append(shape("text", { x: toX(tick), y: BOTTOM + 16, "text-anchor": "middle" }, writtenAcross(tick)));
  }
  picture.append(shape("text", { x: LEFT, y: 14 }, up), shape("text", { x: width - 14, y: HEIGHT - 8, "text-anchor": "end" }, across));
  for (const point of points) {
    const group = shape("g", { class: `line ${point.kind}` });
    const at = { x: toX(point.x), y: toY(point.y) };
    group.append(titled(shape("circle", { cx: at.x, cy: at.y, r: 6 }), `${point.title}: ${writtenAcross(point.x)}, ${writtenUp(point.y)}`));
    group.append(shape("text", { x: at.x, y: at.y - 11, "text-anchor": "middle" }, point.title));
    picture.append(group);
  }
  place.replaceChildren(picture);
}

// From values to places, with at most five ticks; values that are all the same stand in the middle.
function scale(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values);
  const span = high - low || Math.abs(high) || 1, middle = (low + high) / 2;
  const place = (value) => (from + to) / 2 + ((to - from) * (value - middle)) / span;
  const step = [1, 2, 5, 10].map((digit) => digit * 10 ** Math.floor(Math.log10(span / 4))).find((each) => span / each <= 5);
  const ticks = [];
  for (let tick = Math.ceil((middle - span / 2) / step - 1e-9) * step; tick <= middle + span / 2 + step * 1e-9; tick += step) ticks.push(tick);
  return Object.assign(place, { ticks });
}
