// The recipe of a form: presets, and choices of which each offers what fits those before it. What fits, the page has been told.
import { fill, read, showWhatApplies } from "./bodies.js";

const TAGGED = ["refinement", "update"];

export class Recipe {
  constructor(form, known, said) {
    Object.assign(this, { form, known, said });
    this.pointers = Object.keys(known.choices);
    this.names = this.pointers.map((pointer) => Object.keys(known.choices[pointer]));
    this.controls = this.pointers.map((pointer) => form.elements[pointer]);
  }

  get preset() {
    return this.form.elements["/recipe/preset"].value;
  }

  // The pattern stays: no preset says anything of it.
  take(preset) {
    const { recipe } = read(this.form, this.known.choices);
    this.fill({ ...this.known.presets[preset], preset: preset || null, pattern: recipe.pattern });
  }

  fill(recipe) {
    const body = { ...read(this.form, this.known.choices), recipe };
    fill(this.form, body, this.known.choices);
    this.offer();
  }

  // Leave out what does not fit, and say what was changed because of that.
  offer() {
    const changed = [];
    let left = this.known.fitting;
    this.controls.forEach((control, at) => {
      const fits = new Set(left.map((places) => places[at]));
      const before = control.value;
      [...control.options].forEach((option, place) => (option.hidden = option.disabled = !fits.has(place)));
      if (!fits.has(this.names[at].indexOf(before))) {
        control.value = this.names[at][[...fits][0]];
        changed.push(`${labelOf(control)} is ${control.value} now: ${before} does not fit what is chosen above it.`);
      }
      left = left.filter((places) => places[at] === this.names[at].indexOf(control.value));
    });
    this.said.textContent = changed.join(" ");
    showWhatApplies(this.form);
    this.explain();
    this.offerMask();
  }

  explain() {
    for (const told of this.form.querySelectorAll("[data-preset]")) told.hidden = told.dataset.preset !== this.preset;
    for (const control of this.controls) {
      const told = [...this.form.querySelectorAll("[data-of]")].find((each) => each.dataset.of === control.name && each.dataset.kind === control.value);
      document.getElementById(control.dataset.hint).replaceChildren(...(told?.cloneNode(true).childNodes ?? []));
    }
  }

  offerMask() {
    const mask = this.form.querySelector('[name="/output/formats"][value="mask"]');
    mask.disabled = !this.known.mask.includes(this.form.elements["/recipe/update"].value);
    if (mask.disabled) mask.checked = false;
  }

  // As short as it can be: the preset, the pattern, and what differs from the preset.
  shortened(recipe) {
    const base = this.known.presets[this.preset];
    const short = { ...(this.preset ? { preset: this.preset } : {}), pattern: recipe.pattern };
    for (const name of ["criterion", "allocation", "objective", ...TAGGED]) {
      const difference = TAGGED.includes(name) ? ofOneKind(recipe[name], base[name]) : recipe[name] === base[name] ? undefined : recipe[name];
      if (difference !== undefined) short[name] = difference;
    }
    // beside an update, no word on the refinement means none
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
