"""Recipes page, from the pydantic models of the contract."""

import json
from collections.abc import Iterator, Sequence

from docs.generate.tables import field_row, table
from service.contract.failures import FailureCode
from service.recipes.operations import describe
from service.recipes.schemas import ChoiceView

_HEAD = """\
# Recipes

Generated from the models of the job body; `GET /v1/recipes` returns the same as JSON.
[Choose a recipe](../guides/choose-a-recipe.md) says when to use which.
The whole body is [JobSpec](api.md#jobspec).
"""


def page() -> str:
    """Return the page in Markdown."""
    found = describe()
    parts = [_HEAD, "## Presets\n"]
    for preset in found.presets:
        parts += [f"### `{preset.name}`\n", f"{preset.summary}\n", f"Cost: {preset.cost}.\n", f"Use it {preset.when}.\n"]
        parts.append(f"```json\n{json.dumps(preset.recipe, indent=2)}\n```\n")
    parts.append("## Effort\n")
    for effort in found.efforts:
        parts += [f"### `{effort.name}`\n", f"{effort.summary}\n", f"Use it {effort.when}.\n"]
        filled = {"calibration": effort.calibration, "evaluation": effort.evaluation}
        parts.append(f"```json\n{json.dumps(filled, indent=2)}\n```\n")
    for title, choices in (
        ("Criterion", found.criteria),
        ("Allocation", found.allocations),
        ("Objective", found.objectives),
        ("Output formats", found.formats),
    ):
        parts += [f"## {title}\n", table(["value", "meaning"], [(f"`{each.name}`", each.summary) for each in choices])]
    for title, kinds in (("Pattern", found.patterns), ("Refinement", found.refinements), ("Update", found.updates)):
        parts += [f"## {title}\n", *_kinds(kinds)]
    datasets = [(f"`{each.name}`", each.summary, ", ".join(each.splits)) for each in found.datasets]
    parts += ["## Data sets\n", table(["name", "content", "splits"], datasets)]
    parts += ["## Defaults of a job\n", f"```json\n{json.dumps(found.defaults, indent=2)}\n```\n"]
    codes = [(f"`{code}`", code.sentence, "yes" if code.retryable else "no") for code in FailureCode]
    parts += ["## Failure codes\n", table(["`error.code`", "meaning", "retried"], codes)]
    return "\n".join(parts)


def _kinds(kinds: Sequence[ChoiceView]) -> Iterator[str]:
    for kind in kinds:
        yield f"### `{kind.name}`\n"
        yield f"{kind.summary}\n"
        yield table(["setting", "type", "description"], [field_row(name, schema) for name, schema in kind.options.items()])
