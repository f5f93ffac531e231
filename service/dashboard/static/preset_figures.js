// Figures on the cards of presets: from the newest jobs with the named model, else those measured on SmolLM2.
import { callApi } from "./api_calls.js";
import { patternText, trimmed } from "./form_json.js";
import { duration } from "./number_formats.js";

const BREATH_MS = 450;
const MOST_JOBS = 50;

export class PresetFigures {
  // `presets`: their recipes with all defaults, by name.
  constructor(form, measured, presets) {
    Object.assign(this, { form, measured, presets, of: null, own: [], timer: 0, pattern: null });
  }

  show(model, pattern) {
    this.pattern = pattern;
    if (this.of !== model.id) {
      Object.assign(this, { of: model.id, own: [] });
      clearTimeout(this.timer);
      if (model.id) this.timer = setTimeout(() => this.fetch(model.id), BREATH_MS);
    }
    this.write();
  }

  async fetch(id) {
    const query = new URLSearchParams({ model: id, state: "succeeded", limit: MOST_JOBS });
    // figures are an aid: without them the cards have those of SmolLM2, and the plan reports an outage
    const answer = await callApi("GET", `/v1/jobs?${query}`).catch(() => null);
    if (!answer || this.of !== id) return;
    this.own = (await answer.json()).items.map((job) => measuredBy(job, this.presets)).filter(Boolean);
    this.write();
  }

  write() {
    const wanted = patternName(this.pattern), sources = new Set();
    for (const place of this.form.querySelectorAll("[data-figure]")) {
      const found = this.find(place.dataset.figure, wanted);
      place.hidden = !found;
      if (!found) continue;
      const { pattern, ratio, seconds } = found;
      sources.add(seconds === undefined ? "SmolLM2-135M-Instruct on WikiText-2" : "the newest job of this model");
      place.textContent = [`perplexity × ${ratio.toFixed(2)}${pattern === wanted ? "" : ` at ${pattern}`}`, ...(seconds === undefined ? [] : [duration(seconds)])].join(", ");
    }
    document.getElementById("figures-from").textContent = sources.size ? `Perplexity as a multiple of the dense model’s: ${[...sources].join("; ")}.` : "";
  }

  // Returns the newest own figure for the pattern, else the measured one, else the measured one at the nearest sparsity.
  find(preset, wanted) {
    const own = this.own.find((job) => job.preset === preset && job.pattern === wanted), measured = this.measured[preset];
    if (own || !measured) return own;
    if (measured[wanted]) return { pattern: wanted, ratio: measured[wanted] };
    const share = parseFloat(wanted), shares = Object.keys(measured).filter((name) => name.endsWith("%"));
    if (!wanted.endsWith("%") || share <= 0 || share >= 100) return undefined;
    const [nearest] = shares.sort((one, other) => Math.abs(parseFloat(one) - share) - Math.abs(parseFloat(other) - share));
    return { pattern: nearest, ratio: measured[nearest] };
  }
}

// Returns null for a job without both perplexities, and for a recipe that is not the preset's.
function measuredBy({ spec, metrics }, presets) {
  const [dense, pruned] = [metrics?.dense, metrics?.pruned].map((each) => each?.perplexity?.[0]);
  if (!(dense?.perplexity > 0 && pruned?.perplexity > 0) || dense.dataset !== pruned.dataset) return null;
  const { pattern, ...steps } = spec.recipe ?? {};
  if (!steps.preset || Object.keys(trimmed(steps, presets[steps.preset])).length) return null;
  const seconds = Object.values(metrics.seconds ?? {}).reduce((sum, each) => sum + each, 0);
  return { preset: steps.preset, pattern: patternName(pattern), ratio: pruned.perplexity / dense.perplexity, seconds };
}

// Returns `50 %` or `2:4`, as the pages do.
function patternName(pattern) {
  if (pattern?.type === "n:m") return patternText(pattern);
  return Number.isFinite(pattern?.sparsity) ? `${Number((100 * pattern.sparsity).toFixed(3))} %` : "";
}
