// Requests that create a job or a sweep, as JSON, curl command, Python code and command of the CLI.
import { BASE } from "./addresses.js";
import { commandOfJob, commandOfSweep } from "./commands.js";

const json = (body) => JSON.stringify(body, null, 2);
const HEADERS = ["Authorization: Bearer $DSNOT_API_KEY", "Content-Type: application/json"];

const requestsOf = (path, python, cli) => ({ json, curl: (body) => curlOf(path, json(body), HEADERS), python, cli });

export const OF_JOBS = requestsOf("/v1/jobs", (body) => pythonOf(body, ["job = client.jobs.create(body)", "job = client.jobs.wait(job.id, timeout=86_400)", "print(job.id, job.state)"]), commandOfJob);
export const OF_SWEEPS = requestsOf("/v1/sweeps", (body) => pythonOf(body, ["sweep = client.sweeps.create(body)", "sweep = client.sweeps.wait(sweep.id)", "print(sweep.id, sweep.state)"]), commandOfSweep);

export function curlOf(path, text, headers) {
  // within single quotes, a shell interprets only the quote
  const data = text.replaceAll("'", `'\\''`);
  return [`curl ${BASE}${path}`, ...headers.map((each) => `-H "${each}"`), `-d '${data}'`].join(" \\\n  ");
}

function pythonOf(body, lines) {
  return `from dsnot import Client

body = ${literal(body)}

with Client("${BASE}") as client:  # reads the key from DSNOT_API_KEY
${lines.map((line) => `    ${line}\n`).join("")}`;
}

function literal(value, indent = "") {
  const deeper = `${indent}    `;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((each) => literal(each, deeper)).join(", ")}]`;
  const entries = Object.entries(value).map(([name, each]) => `${deeper}${JSON.stringify(name)}: ${literal(each, deeper)},\n`);
  return entries.length ? `{\n${entries.join("")}${indent}}` : "{}";
}
