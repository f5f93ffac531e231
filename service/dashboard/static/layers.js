// Charts of the results per layer, loaded incrementally from the API and drawn per block and matrix type.
import { pathOf } from "./addresses.js";
import { drawLines, onResize } from "./charts.js";
import { drawHeat } from "./heat_map.js";
import { figure } from "./number_formats.js";

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const WORST = 5;

const MEASURES = {
  sparsity: { of: (layer) => layer.sparsity, text: (value) => `${(100 * value).toFixed(2)} %`, bounds: () => [0, 1], zero: "dense", full: "all zeros" },
  error: { of: (layer) => layer.error, text: figure, bounds: (values) => [0, Math.max(...values)], zero: "0", full: null, hasWorst: true },
  swaps: { of: (layer) => layer.swaps / layer.shape[0], text: figure, bounds: (values) => [0, Math.max(...values, 1)], zero: "0", full: null },
};

// First and last block of the model, so that charts keep their places while they grow; null before the first is pruned.
export function blockRange() {
  const blocks = Number(document.getElementById("memory-points")?.dataset.blocks);
  return blocks ? [0, blocks - 1] : null;
}

export class Charts {
  constructor(job) {
    this.job = job;
    this.begin();
    this.chain = Promise.resolve();
    document.getElementById("measure").addEventListener("change", () => this.draw());
    onResize(document.getElementById("charts"), () => this.layers.length && this.draw());
  }

  // Each attempt reports its layers from the start.
  begin() {
    this.layers = [];
    this.last = -1;
  }

  // Loads are chained, so that no layer is read twice.
  load() {
    this.chain = this.chain.then(() => this.read()).catch(() => this.say("The results cannot be loaded now; they appear when the service answers."));
    return this.chain;
  }

  async read() {
    let cursor = this.last;
    do {
      const response = await fetch(pathOf(`/v1/jobs/${this.job}/layers?cursor=${cursor}`));
      if (!response.ok) throw new Error(response.status);
      const page = await response.json();
      this.layers.push(...page.items);
      if (page.items.length) this.last = page.items.at(-1).position;
      cursor = page.next_cursor;
    } while (cursor !== null);
    this.draw();
  }

  draw() {
    document.getElementById("charts").hidden = this.layers.length === 0;
    if (!this.layers.length) {
      this.say(document.getElementById("layers-none").dataset.none);
      return;
    }
    this.say("");
    const blocks = Map.groupBy ? Map.groupBy(this.layers, (layer) => layer.block) : grouped(this.layers);
    this.drawErrors(blocks);
    this.drawMatrices();
    this.fillTable(blocks);
  }

  say(text) {
    const place = document.getElementById("layers-none");
    place.textContent = text;
    place.hidden = !text;
  }

  drawErrors(blocks) {
    const numbers = [...blocks.keys()];
    const line = (name, title) => ({ title, kind: name, points: numbers.map((n) => [n, mean(blocks.get(n).map((layer) => layer[name] ?? layer.error))]) });
    const lines = [line("error_start", "first mask"), line("error_mask", "final mask"), line("error", "result")];
    if (same(lines[1], lines[2])) lines.splice(1, 1);
    document.getElementById("errors-caption").textContent = "Relative error of the outputs, mean of a block’s matrices; lower is better";
    drawLines(document.getElementById("errors-chart"), lines, { x: "block", describe: figure, range: blockRange() });
  }

  drawMatrices() {
    const measure = MEASURES[document.getElementById("measure").value];
    const cells = new Map();
    for (const layer of this.layers) {
      const key = `${kindOf(layer)}\n${layer.block}`;
      cells.set(key, [...(cells.get(key) ?? []), measure.of(layer)]);
    }
    const found = [...cells].map(([key, values]) => {
      const [row, block] = key.split("\n");
      return { row, column: Number(block), value: mean(values) };
    });
    const [low, high] = measure.bounds(found.map((cell) => cell.value));
    document.getElementById("heat-caption").textContent = "mean of a block’s matrices of one kind; a click pins a cell";
    drawHeat(document.getElementById("heat-chart"), found, { low, high, text: measure.text, label: "Matrices by block", lowest: measure.zero, highest: measure.full ?? measure.text(high), range: blockRange() });
    this.nameWorst(measure);
  }

  nameWorst(measure) {
    const place = document.getElementById("heat-worst");
    if (!place) return;
    const worst = measure.hasWorst ? [...this.layers].sort((a, b) => measure.of(b) - measure.of(a)).slice(0, WORST) : [];
    const texts = worst.map((layer) => `block ${layer.block} ${nameOf(layer)} ${measure.text(measure.of(layer))}`);
    place.textContent = texts.length ? `Largest error: ${texts.join(", ")}.` : "";
  }

  fillTable(blocks) {
    const rows = [...blocks].map(([block, layers]) => {
      const cell = (name, digits) => mean(layers.map((layer) => layer[name] ?? layer.error)).toPrecision(digits);
      const sum = (name) => layers.reduce((total, layer) => total + layer[name], 0);
      const sparsity = `${(100 * mean(layers.map((layer) => layer.sparsity))).toFixed(2)} %`;
      return [block, sparsity, cell("error_start", 3), cell("error_mask", 3), cell("error", 3), sum("swaps").toLocaleString("en"), sum("seconds").toFixed(1)];
    });
    const body = document.querySelector("#layers-table tbody");
    body.replaceChildren(...rows.map((values) => {
      const row = document.createElement("tr");
      row.append(...values.map((value) => Object.assign(document.createElement("td"), { textContent: value, className: "number" })));
      return row;
    }));
  }
}

// `model.layers.3.mlp.experts.7.up_proj` → `mlp.experts.*.up_proj`: the name behind the block’s number, without expert numbers.
const kindOf = (layer) => nameOf(layer).split(".").map((part) => (/^\d+$/.test(part) ? "*" : part)).join(".");

function nameOf(layer) {
  const parts = layer.name.split(".");
  return parts.slice(parts.indexOf(String(layer.block)) + 1).join(".");
}

function grouped(layers) {
  const blocks = new Map();
  for (const layer of layers) blocks.set(layer.block, [...(blocks.get(layer.block) ?? []), layer]);
  return blocks;
}

function same(one, other) {
  return one.points.every(([, value], number) => value === other.points[number][1]);
}
