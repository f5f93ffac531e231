// Live log of a job: new lines are appended at the end, which stays in view unless the reader has scrolled away from it.
import { streamOf } from "./stream.js";

const section = document.getElementById("logs");
const box = document.getElementById("log-box");
const list = document.getElementById("log-lines");
const MOST_LINES = 1000;
const NEAR_END_PX = 40;

function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

function rowOf(line) {
  const about = element("span", "log-about");
  const time = element("time", "", line.created_at.slice(11, 19));
  time.dateTime = line.created_at;
  about.append(time, ` ${line.level} `, element("span", "quiet", line.stage ?? ""));
  const row = element("li", `log-line at-${line.level}`);
  row.append(about, " ", element("code", "", line.text));
  return row;
}

function append(line) {
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
  const attempts = list.querySelectorAll(".log-attempt");
  if (attempts[attempts.length - 1]?.dataset.attempt !== String(line.attempt)) {
    const title = element("li", "log-attempt", `Attempt ${line.attempt}, times in UTC`);
    title.dataset.attempt = line.attempt;
    list.append(title);
  }
  list.append(rowOf(line));
  box.hidden = false;
  document.getElementById("log-none").hidden = true;
  while (list.children.length > MOST_LINES) list.querySelector(".log-line").remove();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function follow() {
  const wanted = new URLSearchParams();
  for (const name of ["attempt", "level"]) if (section.dataset[name]) wanted.set(name, section.dataset[name]);
  streamOf(`/v1/jobs/${section.dataset.job}`, ["line"], Number(section.dataset.seq), append, () => {}, { list: "logs", query: wanted });
}

box.scrollTop = box.scrollHeight;
document.getElementById("log-filter").addEventListener("change", (event) => event.target.form.requestSubmit());
if (section.dataset.ended === "no") {
  // only once the section is on the screen, because each page may hold few connections
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    follow();
  });
  seen.observe(section);
}
