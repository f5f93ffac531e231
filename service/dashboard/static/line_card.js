// Crosshair of a chart of lines: the values of all lines at the column under the pointer, or chosen with the arrow keys.
import { definitionList, element } from "./number_formats.js";
import { placeCard } from "./point_card.js";

const SVG = "http://www.w3.org/2000/svg";
const chosen = new WeakMap(); // place → column, kept when the chart is drawn again

export function followColumns(place, picture, lines, { columns, across, x, describe, top, bottom, hasFocus }) {
  const card = element("div", "", "card-of");
  card.setAttribute("role", "status");
  card.hidden = true;
  const hair = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ class: "hair", y1: top, y2: bottom, visibility: "hidden" })) hair.setAttribute(name, value);
  picture.append(hair);
  picture.classList.add("crosshair");
  place.append(card);

  function show(at) {
    const column = columns[at];
    chosen.set(place, column);
    const values = lines.map((line) => [line.title, line.points.find(([each]) => each === column)?.[1]]).filter(([, value]) => value !== undefined);
    card.replaceChildren(element("strong", `${x[0].toUpperCase()}${x.slice(1)} ${column}`), definitionList(values.map(([title, value]) => [title, describe(value)])));
    for (const end of ["x1", "x2"]) hair.setAttribute(end, across(column));
    hair.setAttribute("visibility", "visible");
    card.hidden = false;
    placeCard(place, card, { left: across(column), top: top + 20 });
  }

  function current() {
    const at = columns.indexOf(chosen.get(place));
    return at < 0 ? columns.length - 1 : at;
  }

  function hide() {
    card.hidden = true;
    hair.setAttribute("visibility", "hidden");
  }

  function nearest(event) {
    const left = event.clientX - picture.getBoundingClientRect().left;
    const distances = columns.map((column) => Math.abs(across(column) - left));
    show(distances.indexOf(Math.min(...distances)));
  }

  picture.addEventListener("pointermove", nearest);
  picture.addEventListener("pointerdown", nearest);
  picture.addEventListener("pointerleave", () => document.activeElement === picture || hide());
  picture.addEventListener("focus", () => show(current()));
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -columns.length, End: columns.length }[event.key];
    if (event.key === "Escape") {
      chosen.delete(place);
      hide();
    }
    if (!step) return;
    event.preventDefault();
    show(Math.min(Math.max(current() + step, 0), columns.length - 1));
  });
  if (hasFocus && chosen.has(place)) show(current());
}
