// Quality gates as lines of text, as `dsnot jobs submit --require` takes them: perplexity:wiki-sample,at-most-increase=0.3
const USUAL = { judge_by: "interval" };

// What is no number is kept as text, so that the API reports it.
export function gateOf(line) {
  const [first, ...others] = line.split(",").map((part) => part.trim());
  const bounds = first.includes("=") ? [first, ...others] : others;
  return { ...(first.includes("=") ? {} : measureOf(first)), ...Object.fromEntries(bounds.map(boundOf)) };
}

function measureOf(text) {
  const at = text.startsWith("task:") ? -1 : text.indexOf(":");
  return at < 0 ? { metric: text } : { metric: text.slice(0, at) || "perplexity", dataset: text.slice(at + 1) };
}

function boundOf(text) {
  const [name, value = ""] = text.split("=").map((part) => part.trim());
  return [name.replaceAll("-", "_"), value === "" || Number.isNaN(Number(value)) ? value : Number(value)];
}

export function gateText({ metric, dataset, ...bounds }) {
  const named = dataset ? `${metric ?? "perplexity"}:${dataset}` : metric;
  const limits = Object.entries(bounds).filter(([name, value]) => value !== null && value !== USUAL[name]);
  return [...(named ? [named] : []), ...limits.map(([name, value]) => `${name.replaceAll("_", "-")}=${value}`)].join(",");
}
