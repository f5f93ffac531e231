// The tab with the results per layer: its charts load the new layers after every pruned block.
import { Charts } from "./layers.js";
import { followMemory } from "./memory.js";

const charts = new Charts(document.getElementById("job").dataset.job);
document.addEventListener("job-event", ({ detail: type }) => {
  if (type === "attempt_started") charts.begin();
  if (type === "block_pruned" || type === "end") charts.load();
});
charts.load();
followMemory();
