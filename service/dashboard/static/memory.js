// Chart of the peak memory per block, redrawn from the page's data after every refresh.
import { drawLines, onResize } from "./charts.js";
import { blockRange } from "./layers.js";
import { size } from "./number_formats.js";
import { fromZero } from "./scales.js";

const LINES = [["host", "host"], ["device", "device"]];

function draw() {
  const points = JSON.parse(document.getElementById("memory-points").dataset.points);
  const lines = LINES.map(([kind, title], at) => ({ kind, title, points: points.map((each) => [each[0], each[at + 1]]).filter(([, bytes]) => bytes !== null) }));
  const known = lines.filter((line) => line.points.length);
  document.getElementById("memory").hidden = !known.length;
  if (known.length) drawLines(document.getElementById("memory-chart"), known, { x: "block", what: "Peak memory", describe: size, scale: fromZero, written: size, range: blockRange() });
}

export function followMemory() {
  document.addEventListener("refreshed", draw);
  onResize(document.getElementById("charts"), draw);
  draw();
}
