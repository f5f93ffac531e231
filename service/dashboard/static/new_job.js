// Form of a new job.
import { runForm } from "./api_form.js";
import { fill, read, trimmed } from "./form_json.js";
import { filterList } from "./list_filter.js";
import { describePlan, summaryOf } from "./plan_texts.js";
import { Recipe } from "./recipes.js";
import { OF_JOBS } from "./requests.js";

const form = document.getElementById("new-job");
const known = JSON.parse(form.dataset.recipes);
const defaults = JSON.parse(form.dataset.defaults);
const recipe = new Recipe(form, known, document.getElementById("fitted"));
const typed = () => read(form, known.choices);

function wanted() {
  const { model, recipe: steps, ...rest } = typed();
  return { model, recipe: recipe.shortened(steps), ...trimmed(rest, defaults) };
}

filterList(document.getElementById("find-text"), document.getElementById("texts"));
runForm(form, {
  path: "/v1/jobs",
  page: "/jobs",
  noun: "job",
  within: "/model",
  initial: JSON.parse(form.dataset.body),
  body: wanted,
  state: typed,
  restore: (body) => {
    fill(form, body, known.choices);
    recipe.offer();
  },
  model: () => typed().model,
  describe: describePlan,
  summary: summaryOf,
  requests: OF_JOBS,
  changed: (name) => {
    if (name === "/recipe/preset") recipe.take(recipe.preset);
    recipe.offer();
  },
});
