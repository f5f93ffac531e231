// Axis scales: from values to positions, with round tick values.

// Linear scale with at most five ticks; equal values are centred.
export function linear(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values);
  const span = high - low || Math.abs(high) || 1, middle = (low + high) / 2;
  const place = (value) => (from + to) / 2 + ((to - from) * (value - middle)) / span;
  const step = [1, 2, 5, 10].map((digit) => digit * 10 ** Math.floor(Math.log10(span / 4))).find((each) => span / each <= 5);
  const ticks = [];
  for (let tick = Math.ceil((middle - span / 2) / step - 1e-9) * step; tick <= middle + span / 2 + step * 1e-9; tick += step) ticks.push(tick);
  return Object.assign(place, { ticks });
}

// Linear scale that starts at zero, for absolute quantities such as bytes.
export const fromZero = (values, from, to) => linear([0, ...values], from, to);

// Logarithmic scale, for errors; zero is drawn below all others.
export function logarithmic(values, from, to) {
  const known = values.filter((value) => value > 0);
  const low = Math.log10(Math.min(...known, 1)), high = Math.log10(Math.max(...known, 1e-6));
  const span = Math.max(high - low, 0.3), middle = (high + low) / 2;
  const place = (value) => from + ((to - from) * (Math.log10(Math.max(value, 1e-12)) - (middle - span / 2))) / span;
  return Object.assign(place, { ticks: powers(middle - span / 2, middle + span / 2) });
}

function powers(low, high) {
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (Math.log10(tick) >= low - 1e-9 && Math.log10(tick) <= high + 1e-9) ticks.push(tick);
    }
  }
  return ticks.length > 7 ? ticks.filter((tick) => /^1/.test(tick.toExponential())) : ticks;
}
