// Times in the reader's zone: the absolute time is the title of every <time>; with data-relative its text says how long ago it is.
// Minutes are the finest unit, so that a page's texts change rarely.

const ABSOLUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"]];
const RECENT_SECONDS = 30 * 86_400;
const REPEAT_MS = 20_000;

function relative(time) {
  const seconds = (Date.now() - time) / 1000;
  if (Math.abs(seconds) >= RECENT_SECONDS) return DAY.format(time);
  const [unit, name] = UNITS.find(([unit]) => Math.abs(seconds) >= unit) ?? [];
  if (!unit) return "just now";
  const text = `${Math.floor(Math.abs(seconds) / unit)} ${name}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

export function localise(root) {
  for (const place of root.querySelectorAll("time[datetime]")) {
    const time = new Date(place.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    place.title = ABSOLUTE.format(time);
    if ("relative" in place.dataset) place.textContent = relative(time);
  }
}

localise(document);
setInterval(() => localise(document), REPEAT_MS);
