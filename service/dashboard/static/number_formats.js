// Number formats, the same as those of the pages (service/dashboard/formats.py).

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  for (const [unit, name] of [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (bytes >= unit) return `${Number((bytes / unit).toPrecision(3))} ${name}`;
  }
  return `${bytes} B`;
}

// Three to four significant digits.
export function figure(value) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const digits = Math.abs(value) >= 1 ? 4 : 3;
  if (Math.abs(value) < 1e-4) return value.toExponential(digits - 1).replace(/e([+-])(\d)$/, (_, sign, digit) => `e${sign}0${digit}`);
  const decimals = digits - 1 - Number(value.toExponential(digits - 1).split("e")[1]);
  const rounded = Number(value.toPrecision(digits));
  return rounded.toLocaleString("en", { minimumFractionDigits: Math.max(decimals, 0), maximumFractionDigits: Math.max(decimals, 0) });
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// Returns an estimate with its range, as `about` in service/kit/quantities.py does.
export function about(seconds, low, high) {
  if (low === null || low === undefined || high === null || high === undefined) return `about ${coarse(seconds)}`;
  const [first, last] = [coarse(low), coarse(high)];
  if (first === last) return `about ${coarse(seconds)}`;
  const unit = ` ${last.split(" ")[1]}`;
  return `about ${coarse(seconds)} (${first.endsWith(unit) ? first.slice(0, -unit.length) : first} to ${last})`;
}

function coarse(seconds) {
  const [unit, name] = [[1, "s", 90], [60, "min", 5400], [3600, "h", 172800], [86400, "d", Infinity]].find(([, , upTo]) => seconds < upTo);
  const value = seconds / unit;
  return `${value >= 20 ? 5 * Math.round(value / 5) : value >= 10 ? Math.round(value) : Number(value.toFixed(1))} ${name}`;
}

// Axis of a chart: its title, and formats of values and of the scale's ticks. Kinds: share, bytes, seconds, number.
export function axisOf(title, kind) {
  const texts = { share: (value) => `${(100 * value).toFixed(2)} %`, bytes: size, seconds: duration, number: figure };
  const ticks = { share: (tick, scale) => `${scale.written(tick, 100)} %`, number: (tick, scale) => scale.written(tick) };
  return { title, text: texts[kind], tick: ticks[kind] ?? texts[kind] };
}

export const count = (value) => value.toLocaleString("en");
export const share = (value) => `${(100 * value).toFixed(1)} %`;

// Returns a definition list of pairs [name, text], without empty texts.
export function definitionList(pairs) {
  const list = document.createElement("dl");
  for (const [name, text] of pairs.filter(([, each]) => each !== null && each !== undefined && each !== "")) {
    list.append(element("dt", name), element("dd", text));
  }
  return list;
}

export function element(tag, text, kind = "") {
  const made = Object.assign(document.createElement(tag), { className: kind });
  made.append(...nodesOf(text));
  return made;
}

// Returns a text's nodes, with parts in backticks as <code>; never parses HTML.
export function nodesOf(sentence) {
  return String(sentence).split(/`([^`]+)`/).map((part, at) => (at % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part));
}
