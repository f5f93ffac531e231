// Texts for the API's model inspection and job plan.
import { about, count, definitionList, duration, element, share, size } from "./number_formats.js";

export function describeModel(place, model) {
  const facts = [
    model.architecture ?? model.model_type,
    `${count(model.parameters)} parameters, ${share(model.prunable_share)} prunable`,
    `${count(model.blocks)} blocks`,
    `${size(model.weight_bytes)} in ${model.dtype}`,
    model.max_sequence_length === null ? null : `at most ${count(model.max_sequence_length)} tokens`,
    model.license && `licence ${model.license}`,
  ];
  const verdict = model.can_be_pruned ? element("p", `✓ ${facts.filter(Boolean).join(" · ")}`) : element("p", `It cannot be pruned: ${model.why_not}`, "error");
  place.replaceChildren(verdict); // its warnings are in the plan
}

export function describePlan(place, plan) {
  const { estimate, queue } = plan;
  const basis = estimate.basis.jobs ? ` (based on ${estimate.basis.jobs} earlier ${estimate.basis.jobs === 1 ? "job" : "jobs"})` : "";
  const workers = queue.able_workers === 1 ? "worker" : "workers";
  const facts = definitionList([
    ["Runs for", estimate.run_seconds === null ? (estimate.note ?? "unknown") : takes(estimate) + basis],
    ["Starts in", duration(estimate.starts_in_seconds)],
    ["Queue", `position ${queue.position}; ${queue.able_workers} suitable ${workers}, ${queue.idle_workers} idle`],
    ...plan.memory.map((each) => [`Memory, ${each.device}`, memory(each)]),
    ...(plan.devices ?? []).map((each) => [each.name, against(each, plan.memory)]),
    ["Disk", plan.disk_bytes === null ? null : `at most ${size(plan.disk_bytes)}`],
    ["Artifact", plan.artifact_bytes === null ? null : size(plan.artifact_bytes)],
    ["Weights in use", plan.serving ? serving(plan.serving) : null],
    ["Calibration", `${count(plan.calibration_tokens)} tokens`],
  ]);
  place.replaceChildren(...plan.warnings.map((text) => element("p", text, "warning")), facts);
}

const takes = (estimate) => about(estimate.run_seconds, estimate.run_seconds_low, estimate.run_seconds_high);
// Returns the memory that the job needs against a worker's device; on a CPU only the job's, as the service does not know the host's.
function against(device, needed) {
  const isGpu = device.memory_bytes !== null;
  const { device_bytes: most, host_bytes: host } = needed.find((each) => (each.device_bytes !== null) === isGpu) ?? {};
  if (host === undefined) return "memory unknown";
  if (!isGpu) return `${size(host)} of its host’s memory`;
  return `${size(most)} of ${size(device.memory_bytes)}, ${Math.max(1, Math.round((100 * most) / device.memory_bytes))} %`;
}

// Returns the plan in one line.
export function summaryOf({ estimate, memory: [first], warnings }) {
  const taken = first && `${size(first.device_bytes ?? first.host_bytes)} of memory`;
  const time = estimate.run_seconds === null ? "time unknown" : takes(estimate);
  const warned = warnings.length && `${warnings.length} ${warnings.length === 1 ? "warning" : "warnings"}`;
  return `Plan: ${[taken, time, warned].filter(Boolean).join(", ")}.`;
}

function serving({ dense, packed, packed_int8 }) {
  const packing = packed < dense ? `; on CPUs with dsnot-runtime ${size(packed)}, in int8 ${size(packed_int8)}` : "";
  return size(dense) + packing;
}

function memory(each) {
  const device = each.device_bytes === null ? "" : `device ${size(each.device_bytes)} (minimum ${size(each.least_device_bytes)}), `;
  return `${device}host ${size(each.host_bytes)} (minimum ${size(each.least_host_bytes)})`;
}
