// Texts for the API's plan of a sweep.
import { about, definitionList, element, size } from "./number_formats.js";

const MOST_NAMED = 12;

export function describeSweep(place, plan) {
  const texts = plan.table.map((each) => each.text), more = plan.points - texts.length;
  const named = texts.slice(0, MOST_NAMED).join("; ") + (texts.length > MOST_NAMED ? `; and ${texts.length - MOST_NAMED} more` : "");
  const isSearch = Boolean(plan.spec.target);
  const facts = definitionList([
    [isSearch ? "At most" : "Points", `${plan.points} ${plan.points === 1 ? "job" : "jobs"}`],
    [isSearch ? "First" : "These", isSearch && more < 0 ? null : named],
    ["Ends in", plan.wall_seconds === null ? plan.note : `${about(plan.wall_seconds, plan.wall_seconds_low, plan.wall_seconds_high)} on ${plan.able_workers} suitable ${plan.able_workers === 1 ? "worker" : "workers"}`],
    ["Jobs together", plan.run_seconds === null ? null : about(plan.run_seconds, plan.run_seconds_low, plan.run_seconds_high)],
    ["Artifacts", plan.artifact_bytes === null ? null : `${size(plan.artifact_bytes)} until the end; then ${{ all: "all stay", front: "those on the front stay", best: "the answer’s stays" }[plan.spec.keep]}`],
    ["Disk of a worker", plan.disk_bytes === null ? null : `at most ${size(plan.disk_bytes)}`],
    ["Queue", `${plan.queued_jobs} of ${plan.max_queued_jobs} places taken`],
  ]);
  place.replaceChildren(...plan.warnings.map((text) => element("p", text, "warning")), facts);
}

export function summaryOfSweep({ points, wall_seconds: seconds, wall_seconds_low: low, wall_seconds_high: high, warnings }) {
  const warned = warnings.length ? `, ${warnings.length} ${warnings.length === 1 ? "warning" : "warnings"}` : "";
  return `Plan: ${points} jobs, ${seconds === null ? "time unknown" : about(seconds, low, high)}${warned}.`;
}
