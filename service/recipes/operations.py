"""Options of a job's body, read from the contract, so that they always match what is accepted."""

from dataclasses import asdict
from typing import Any, get_args

from pydantic import BaseModel

from service.contract.datasets import DATASETS
from service.contract.efforts import EFFORTS
from service.contract.formats import FORMATS
from service.contract.recipe.choices import Allocation, Choice, Criterion, Objective
from service.contract.recipe.pattern import Pattern
from service.contract.recipe.presets import PRESETS
from service.contract.recipe.refinement import Refinement
from service.contract.recipe.update import Update
from service.contract.spec import JobSpec
from service.recipes.schemas import ChoiceView, DatasetChoiceView, RecipesView


def describe() -> RecipesView:
    """Return every option of a job's body."""
    return RecipesView(
        presets=list(PRESETS.values()),
        efforts=list(EFFORTS.values()),
        criteria=_values(Criterion),
        allocations=_values(Allocation),
        objectives=_values(Objective),
        patterns=_kinds(Pattern, "type"),
        refinements=_kinds(Refinement, "method"),
        updates=_kinds(Update, "method"),
        formats=[ChoiceView(name=name, summary=summary, options={}) for name, summary in FORMATS.items()],
        datasets=[DatasetChoiceView(**asdict(dataset)) for dataset in DATASETS.values()],
        defaults=_defaults(),
    )


def _values(choice: type[Choice]) -> list[ChoiceView]:
    """Return the values of a plain choice."""
    return [ChoiceView(name=value, summary=value.summary, options={}) for value in choice]


def _kinds(union: Any, tag: str) -> list[ChoiceView]:
    """Return the kinds of an annotated union of objects, discriminated by `tag`."""
    return [_kind(part, tag) for part in get_args(get_args(union)[0])]


def _kind(part: type[BaseModel], tag: str) -> ChoiceView:
    described = part.model_json_schema()
    options = {
        name: {key: value for key, value in schema.items() if key != "title"} for name, schema in described["properties"].items()
    }
    return ChoiceView(name=options.pop(tag)["const"], summary=described["description"], options=options)


def _defaults() -> dict[str, Any]:
    smallest = JobSpec.model_validate({"model": {"id": "any"}})
    return smallest.model_dump(mode="json", exclude={"model"})
