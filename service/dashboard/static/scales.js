// Axis scales: from values to positions, with at least three round ticks. `written` formats a tick by the distance of the ticks.

const LEAST = 3;

// Linear scale; equal values are centred.
export function linear(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values);
  const span = high - low || Math.abs(high) || 1, middle = (low + high) / 2;
  const place = (value) => (from + to) / 2 + ((to - from) * (value - middle)) / span;
  return Object.assign(place, steps(middle - span / 2, middle + span / 2));
}

// Linear scale that starts at zero, for absolute quantities such as bytes.
export const fromZero = (values, from, to) => linear([0, ...values], from, to);

// Logarithmic scale; zero is drawn below all others.
export function logarithmic(values, from, to) {
  const known = values.filter((value) => value > 0);
  const low = Math.log10(known.length ? Math.min(...known) : 1), high = Math.log10(known.length ? Math.max(...known) : 1);
  const span = Math.max(high - low, 0.3), middle = (high + low) / 2;
  const place = (value) => from + ((to - from) * (Math.log10(Math.max(value, 1e-12)) - (middle - span / 2))) / span;
  const ticks = powers(middle - span / 2, middle + span / 2);
  const round = { ticks, written: (tick, unit = 1) => decimal(tick * unit, decimalsOf(tick * unit)) };
  return Object.assign(place, ticks.length < LEAST ? steps(10 ** (middle - span / 2), 10 ** (middle + span / 2)) : round);
}

// The coarsest steps of 1, 2 or 5 that give enough ticks.
function steps(low, high) {
  let power = Math.ceil(Math.log10(high - low));
  for (; ; power -= 1) {
    for (const digit of [5, 2, 1]) {
      const step = digit * 10 ** power, first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
      if (last - first + 1 < LEAST) continue;
      const ticks = Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
      return { ticks, written: (tick, unit = 1) => decimal(tick * unit, decimalsOf(step * unit)) };
    }
  }
}

function powers(low, high) {
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (Math.log10(tick) >= low - 1e-9 && Math.log10(tick) <= high + 1e-9) ticks.push(tick);
    }
  }
  const round = ticks.filter((tick) => /^1/.test(tick.toExponential()));
  return ticks.length > 7 && round.length >= LEAST ? round : ticks;
}

const decimalsOf = (step) => Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
const decimal = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
