// Card of a chart's point, shown on hover and focus: the cells of the point's row in the table.
import { definitionList, element } from "./number_formats.js";

// Places a card next to a point, within the chart.
export function placeCard(place, card, { left, top }) {
  const room = place.clientWidth - card.offsetWidth - 4;
  card.style.left = `${Math.max(4, Math.min(left + 14 < room ? left + 14 : left - card.offsetWidth - 14, room))}px`;
  card.style.top = `${Math.max(4, Math.min(top - 20, place.clientHeight - card.offsetHeight - 4))}px`;
}

export function followPoints(place, points, rowOf, interval) {
  const card = element("div", "", "card-of");
  card.setAttribute("role", "status");
  card.hidden = true;
  place.append(card);
  const links = [...place.querySelectorAll("a.point")];
  let touched = null;

  function show(at) {
    const point = points[at], row = rowOf(point);
    const heads = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.querySelector("a")?.firstChild.textContent ?? cell.textContent);
    const facts = [...row.cells].map((cell, number) => [heads[number], cell]).slice(1, -1).filter(([, cell]) => !("recipe" in cell.dataset)).map(([head, cell]) => [head, cell.innerText.trim()]);
    const [id] = point.href.split("/").slice(-1);
    card.replaceChildren(element("strong", point.title), definitionList([...facts, ["Interval", interval(point)], ["Job", id.slice(0, 8)]]));
    card.hidden = false;
    placeCard(place, card, point);
  }

  // one tab stop; the arrow keys move between the points
  function move(event, at) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -links.length, End: links.length }[event.key];
    if (event.key === "Escape") card.hidden = true;
    if (!step) return;
    event.preventDefault();
    const next = Math.min(Math.max(at + step, 0), links.length - 1);
    links[at].setAttribute("tabindex", "-1");
    links[next].setAttribute("tabindex", "0");
    links[next].focus();
  }

  links.forEach((link, at) => {
    link.addEventListener("pointerenter", () => show(at));
    link.addEventListener("pointerleave", () => document.activeElement !== link && (card.hidden = true));
    link.addEventListener("focus", () => show(at));
    link.addEventListener("blur", () => (card.hidden = true));
    link.addEventListener("keydown", (event) => move(event, at));
    // without a mouse, the first tap shows the card and the second opens the job
    link.addEventListener("click", (event) => {
      if (event.pointerType !== "touch" || touched === at) return;
      event.preventDefault();
      touched = at;
      show(at);
    });
  });
}
