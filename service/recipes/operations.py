"""Options of a job's body, read from the contract, so that they always match what is accepted."""

from dataclasses import asdict
from typing import Any, get_args

from pydantic import BaseModel

from service.contract.datasets import DATASETS
from service.contract.formats import FORMATS
from service.contract.presets import PRESETS
from service.contract.recipe import SUMMARIES, RecipeSpec
from service.contract.spec import JobSpec
from service.recipes.schemas import ChoiceView, DatasetChoiceView, RecipesView


def describe() -> RecipesView:
    """Return every option of a job's body."""
    return RecipesView(
        presets=list(PRESETS.values()),
        criteria=_values("criterion"),
        allocations=_values("allocation"),
        objectives=_values("objective"),
        patterns=_kinds("pattern", "type"),
        refinements=_kinds("refinement", "method"),
        updates=_kinds("update", "method"),
        formats=[ChoiceView(name=name, summary=summary, options={}) for name, summary in FORMATS.items()],
        datasets=[DatasetChoiceView(**asdict(dataset)) for dataset in DATASETS.values()],
        defaults=_defaults(),
    )


def _values(field: str) -> list[ChoiceView]:
    """Return the values of a field that is a plain choice."""
    names = get_args(RecipeSpec.model_fields[field].annotation)
    return [ChoiceView(name=name, summary=SUMMARIES[field][name], options={}) for name in names]


def _kinds(field: str, tag: str) -> list[ChoiceView]:
    """Return the kinds of a field that is a union of objects, discriminated by `tag`."""
    return [_kind(part, tag) for part in get_args(RecipeSpec.model_fields[field].annotation)]


def _kind(part: type[BaseModel], tag: str) -> ChoiceView:
    described = part.model_json_schema()
    options = {
        name: {key: value for key, value in schema.items() if key != "title"} for name, schema in described["properties"].items()
    }
    return ChoiceView(name=options.pop(tag)["const"], summary=described["description"], options=options)


def _defaults() -> dict[str, Any]:
    smallest = JobSpec.model_validate({"model": {"id": "any"}})
    return smallest.model_dump(mode="json", exclude={"model"})
