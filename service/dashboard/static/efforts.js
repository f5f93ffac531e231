// Effort cards: a change fills in the fields of calibration and evaluation that still have the values of the effort before.
import { fill, read, valueAt } from "./form_json.js";

export class Effort {
  constructor(form, known, kinds) {
    Object.assign(this, { form, known, kinds, before: "" });
  }

  get name() {
    return this.form.elements["/effort"].value;
  }

  get values() {
    return this.known[this.name];
  }

  remember() {
    this.before = this.name;
  }

  take() {
    const body = read(this.form, this.kinds), old = this.known[this.before];
    for (const part of Object.keys(this.values)) {
      for (const [field, value] of Object.entries(this.values[part])) {
        const given = valueAt(body, `/${part}/${field}`);
        if (JSON.stringify(given ?? null) === JSON.stringify(old[part][field])) body[part][field] = value;
      }
    }
    fill(this.form, body, this.kinds);
    this.remember();
  }

  explain() {
    document.getElementById("no-effort").hidden = this.name !== "";
  }
}
