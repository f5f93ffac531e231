// Recipe fields: presets, and choices that offer only values compatible with the patterns and the earlier choices. Compatibility is
// in the page's data, as places of the pattern's kind and of each choice.
import { fill, read, showApplicable } from "./form_json.js";

const PATTERN = "/recipe/pattern";
const TAGGED = ["refinement", "update"];

export class Recipe {
  constructor(form, known, said) {
    Object.assign(this, { form, known, said });
    this.pointers = Object.keys(known.choices).filter((pointer) => pointer !== PATTERN);
    this.names = this.pointers.map((pointer) => Object.keys(known.choices[pointer]));
    this.controls = this.pointers.map((pointer) => form.elements[pointer]);
  }

  get preset() {
    return this.form.elements["/recipe/preset"].value;
  }

  // Keeps the pattern, because presets do not set it.
  take(preset) {
    const { recipe } = read(this.form, this.known.choices);
    this.fill({ ...this.known.presets[preset], preset: preset || null, pattern: recipe.pattern });
  }

  fill(recipe) {
    const body = { ...read(this.form, this.known.choices), recipe };
    fill(this.form, body, this.known.choices);
    this.offer();
  }

  // Hides incompatible options and reports the values changed because of that.
  offer() {
    const changed = [];
    let left = this.fitting();
    this.controls.forEach((control, at) => {
      const fits = new Set(left.map((places) => places[at]));
      const before = control.value;
      [...control.options].forEach((option, place) => (option.hidden = option.disabled = !fits.has(place)));
      if (!fits.has(this.names[at].indexOf(before))) {
        control.value = this.names[at][[...fits][0]];
        changed.push(`${labelOf(control)} changed to ${control.value}: ${before} is not compatible with the choices above.`);
      }
      left = left.filter((places) => places[at] === this.names[at].indexOf(control.value));
    });
    this.said.textContent = changed.join(" ");
    showApplicable(this.form);
    this.explain();
    this.offerMask();
  }

  // Returns the combinations of the choices that fit every pattern.
  fitting() {
    const names = Object.keys(this.known.choices[PATTERN]), { pattern } = read(this.form, this.known.choices).recipe;
    const kinds = new Set([pattern].flat().map((each) => names.indexOf(each.type)));
    const of = (kind) => this.known.fitting.filter((places) => places[0] === kind).map((places) => places.slice(1));
    const [first, ...others] = [...kinds].map(of);
    const keys = others.map((each) => new Set(each.map(String)));
    return first.filter((places) => keys.every((known) => known.has(String(places))));
  }

  explain() {
    for (const summary of this.form.querySelectorAll("[data-preset]")) summary.hidden = summary.dataset.preset !== this.preset;
    for (const control of this.controls) {
      const summary = [...this.form.querySelectorAll("[data-of]")].find((each) => each.dataset.of === control.name && each.dataset.kind === control.value);
      document.getElementById(control.dataset.hint).replaceChildren(...(summary?.cloneNode(true).childNodes ?? []));
    }
  }

  offerMask() {
    const mask = this.form.querySelector('[name="/output/formats"][value="mask"]');
    mask.disabled = !this.known.mask.includes(this.form.elements["/recipe/update"].value);
    if (mask.disabled) mask.checked = false;
  }

  // Returns the shortest equivalent recipe: preset, pattern, and differences from the preset. Without a preset it names the
  // criterion, because the service fills in a preset where neither is named.
  shortened(recipe) {
    const base = this.known.presets[this.preset];
    const short = { ...(this.preset ? { preset: this.preset } : { criterion: recipe.criterion }), pattern: recipe.pattern };
    for (const name of ["criterion", "allocation", "objective", ...TAGGED]) {
      const difference = TAGGED.includes(name) ? ofOneKind(recipe[name], base[name]) : recipe[name] === base[name] ? undefined : recipe[name];
      if (difference !== undefined) short[name] = difference;
    }
    // with an update, an omitted refinement means none
    if (short.update) short.refinement ??= { method: recipe.refinement.method };
    return short;
  }
}

function ofOneKind(part, base) {
  if (part.method !== base.method) return part;
  const differing = Object.entries(part).filter(([name, value]) => value !== base[name]);
  return differing.length ? { method: part.method, ...Object.fromEntries(differing) } : undefined;
}

function labelOf(control) {
  return control.labels[0].textContent;
}
