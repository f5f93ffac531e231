"""What can be asked for, read out of the contract, so that it is never another story than what is accepted."""

from dataclasses import asdict
from typing import Any, get_args

from pydantic import BaseModel

from service.contract import DATASETS, PRESETS, JobSpec
from service.contract.spec import DsnotRefinement, NofM, NoRefinement, NoUpdate, RecipeSpec, Unstructured
from service.recipes.schemas import ChoiceView, DatasetView, RecipesView


def describe() -> RecipesView:
    """Everything that a job's body may choose from."""
    return RecipesView(
        presets=list(PRESETS.values()),
        criteria=_names("criterion"),
        allocations=_names("allocation"),
        patterns=[_choice(Unstructured, "type"), _choice(NofM, "type")],
        refinements=[_choice(NoRefinement, "method"), _choice(DsnotRefinement, "method")],
        updates=[_choice(NoUpdate, "method")],
        datasets=[DatasetView(**asdict(dataset)) for dataset in DATASETS.values()],
        defaults=_defaults(),
    )


def _names(field: str) -> list[str]:
    """The values of a field that is a plain choice."""
    return list(get_args(RecipeSpec.model_fields[field].annotation))


def _choice(part: type[BaseModel], tag: str) -> ChoiceView:
    properties = part.model_json_schema()["properties"]
    options = {name: {key: value for key, value in schema.items() if key != "title"} for name, schema in properties.items()}
    return ChoiceView(name=options.pop(tag)["const"], options=options)


def _defaults() -> dict[str, Any]:
    smallest = JobSpec.model_validate({"model": {"id": "any"}})
    return smallest.model_dump(mode="json", exclude={"model"})
