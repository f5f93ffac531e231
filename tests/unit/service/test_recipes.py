"""What `GET /v1/recipes` says is what is accepted."""

from typing import Any

import pytest

from service.contract import JobSpec
from service.recipes.operations import describe
from service.recipes.schemas import ChoiceView

MODEL = {"model": {"id": "a"}}


def accepted(**recipe: Any) -> dict[str, Any]:
    stored: dict[str, Any] = JobSpec.model_validate(MODEL | {"recipe": recipe}).model_dump(mode="json")["recipe"]
    return stored


def test_every_listed_name_is_accepted() -> None:
    listed = describe()
    for name in listed.criteria:
        assert accepted(criterion=name)["criterion"] == name
    for name in listed.allocations:
        assert accepted(allocation=name)["allocation"] == name
    for preset in listed.presets:
        assert accepted(preset=preset.name)["preset"] == preset.name


@pytest.mark.parametrize("field", ["refinement", "pattern"])
def test_every_default_that_is_told_is_the_one_that_is_filled_in(field: str) -> None:
    listed = describe()
    choices: list[ChoiceView] = listed.refinements if field == "refinement" else listed.patterns
    tag = "method" if field == "refinement" else "type"
    for choice in choices:
        needed = {name: 1 + number for number, name in enumerate(choice.options) if "default" not in choice.options[name]}
        told = {name: schema["default"] for name, schema in choice.options.items() if "default" in schema}
        assert accepted(**{field: {tag: choice.name} | needed})[field] == {tag: choice.name} | needed | told


def test_the_defaults_are_a_whole_body_but_for_the_model() -> None:
    defaults = describe().defaults
    assert JobSpec.model_validate(MODEL | defaults).model_dump(mode="json", exclude={"model"}) == defaults
    assert set(defaults) == set(JobSpec.model_fields) - {"model"}
