// Combobox of models by the ARIA pattern: folders of the server, artifacts of earlier jobs, models of the Hub. A name that is known
// sets the source; another one leaves it as the user has chosen it.
import { element } from "./number_formats.js";

const TITLES = { local: "Folders of the server", job: "Artifacts of earlier jobs", hub: "Models of the Hub in earlier jobs" };
const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MOST = 8;

export class ModelBox {
  constructor(form, known) {
    Object.assign(this, { known, isKept: false, active: -1, field: form.elements["/model/id"], source: form.elements["/model/source"], list: document.getElementById("model-options") });
    this.field.addEventListener("input", () => this.open());
    this.field.addEventListener("click", () => this.open());
    this.field.addEventListener("keydown", (event) => this.press(event));
    this.field.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the focus stays in the field
      const option = event.target.closest("[role=option]");
      if (option) this.choose(option);
    });
  }

  keepSource() {
    this.isKept = true;
  }

  findSource() {
    const name = this.field.value.trim();
    const holders = Object.keys(this.known).filter((source) => this.known[source].some(([each]) => each === name));
    if (holders.includes(this.source.value)) return;
    const found = holders[0] ?? (JOB_ID.test(name) ? "job" : this.isKept ? this.source.value : "hub");
    this.source.value = found;
  }

  open() {
    const part = this.field.value.trim().toLowerCase(), groups = [];
    for (const [source, models] of Object.entries(this.known)) {
      const fitting = models.filter(([name, text]) => `${name} ${text}`.toLowerCase().includes(part)).slice(0, MOST);
      if (fitting.length) groups.push(group(source, fitting));
    }
    this.list.replaceChildren(...groups);
    const options = this.options, isDone = options.length === 1 && options[0].dataset.name.toLowerCase() === part;
    this.list.hidden = !options.length || isDone;
    this.field.setAttribute("aria-expanded", String(!this.list.hidden));
    this.activate(-1);
  }

  close() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.activate(-1);
  }

  get options() {
    return [...this.list.querySelectorAll("[role=option]")];
  }

  activate(at) {
    this.active = at;
    this.options.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    const option = this.options[at];
    if (option) {
      this.field.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else this.field.removeAttribute("aria-activedescendant");
  }

  press(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], last = this.options.length - 1;
    if (step && this.list.hidden) this.open();
    else if (step) this.activate(this.active + step < -1 ? last : this.active + step > last ? -1 : this.active + step);
    else if (event.key === "Enter" && this.active >= 0) this.choose(this.options[this.active]);
    else if (event.key === "Escape" && !this.list.hidden) this.close();
    else return;
    event.preventDefault();
  }

  choose({ dataset: { name, source } }) {
    this.field.value = name;
    this.source.value = source;
    this.field.dispatchEvent(new Event("input", { bubbles: true }));
    this.close();
  }
}

function group(source, models) {
  const box = element("div", ""), title = element("div", TITLES[source], "quiet");
  Object.entries({ role: "group", "aria-label": TITLES[source] }).forEach(([name, value]) => box.setAttribute(name, value));
  title.setAttribute("aria-hidden", "true");
  box.append(title, ...models.map(([name, text], at) => option(source, name, text, at)));
  return box;
}

function option(source, name, text, at) {
  const made = element("div", "");
  made.append(Object.assign(document.createElement("bdi"), { textContent: text || name }), ...(text ? [element("span", name.slice(0, 8), "quiet")] : []));
  Object.entries({ role: "option", id: `model-${source}-${at}`, "aria-selected": "false", "data-name": name, "data-source": source }).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}
