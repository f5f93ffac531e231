// A log that goes on: read again and again, more often while something in it has not ended.
import { follow, refresh } from "./live.js";

const SOON_MS = 1500;

setInterval(() => document.hidden || !document.querySelector("[data-outstanding]") || refresh(), SOON_MS);
follow(4);
