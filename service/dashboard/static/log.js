// Live log: refreshed at an interval, which is shorter while an entry is pending.
import { follow, refresh } from "./live.js";

const LOG_MS = 4000;
const SOON_MS = 1500;

setInterval(() => document.hidden || !document.querySelector("[data-outstanding]") || refresh(), SOON_MS);
follow(LOG_MS);
