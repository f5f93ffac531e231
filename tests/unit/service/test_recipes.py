"""What `GET /v1/recipes` says is what is accepted."""

from typing import Any

import pytest

from service.contract.spec import JobSpec
from service.recipes.operations import describe
from service.recipes.schemas import ChoiceView

MODEL = {"model": {"id": "a"}}


def accepted(**recipe: Any) -> dict[str, Any]:
    stored: dict[str, Any] = JobSpec.model_validate(MODEL | {"recipe": recipe}).model_dump(mode="json")["recipe"]
    return stored


def test_every_listed_name_is_accepted() -> None:
    listed = describe()
    for choice in listed.criteria:
        assert accepted(criterion=choice.name)["criterion"] == choice.name
    for choice in listed.allocations:
        assert accepted(allocation=choice.name)["allocation"] == choice.name
    for choice in listed.objectives:
        assert accepted(objective=choice.name, refinement={"method": "swaps"})["objective"] == choice.name
    for choice in listed.formats:
        stored = JobSpec.model_validate(MODEL | {"output": {"formats": [choice.name]}})
        assert stored.output.formats == [choice.name]
    for preset in listed.presets:
        assert accepted(preset=preset.name)["preset"] == preset.name


def test_every_choice_is_listed() -> None:
    listed = describe()
    assert [choice.name for choice in listed.criteria] == ["magnitude", "wanda", "ria", "obs"]
    assert [choice.name for choice in listed.allocations] == ["uniform", "owl", "arithmetic"]
    assert [choice.name for choice in listed.objectives] == ["layerwise", "propagated"]
    assert [choice.name for choice in listed.patterns] == ["unstructured", "n:m"]
    assert [choice.name for choice in listed.refinements] == ["none", "dsnot", "swaps"]
    assert [choice.name for choice in listed.formats] == ["dense", "packed", "mask"]
    assert [choice.name for choice in listed.updates] == ["none", "obs", "least_squares", "admm"]
    assert [preset.name for preset in listed.presets] == ["fast", "balanced", "best", "dsnot-paper", "dsnot-reference"]


def test_every_preset_has_effect_cost_and_purpose() -> None:
    presets = describe().presets
    for preset in presets:
        assert preset.summary.endswith(".")
        assert preset.cost
        assert preset.when
    assert len({preset.summary for preset in presets}) == len(presets)


@pytest.mark.parametrize("field", ["criteria", "allocations", "objectives", "patterns", "refinements", "updates"])
def test_every_choice_has_one_sentence_and_described_settings(field: str) -> None:
    choices: list[ChoiceView] = getattr(describe(), field)
    assert len({choice.summary for choice in choices}) == len(choices)
    for choice in choices:
        assert choice.summary.endswith(".")
        assert ". " not in choice.summary
        assert "\n" not in choice.summary
        for setting in choice.options.values():
            assert setting["description"]


@pytest.mark.parametrize("field", ["refinement", "pattern", "update"])
def test_every_listed_default_is_the_one_applied(field: str) -> None:
    listed = describe()
    choices: list[ChoiceView] = getattr(listed, f"{field}s")
    tag = "type" if field == "pattern" else "method"
    for choice in choices:
        needed = {name: 1 + number for number, name in enumerate(choice.options) if "default" not in choice.options[name]}
        told = {name: schema["default"] for name, schema in choice.options.items() if "default" in schema}
        assert accepted(**{field: {tag: choice.name} | needed})[field] == {tag: choice.name} | needed | told


def test_the_defaults_form_a_complete_body_except_the_model() -> None:
    defaults = describe().defaults
    assert JobSpec.model_validate(MODEL | defaults).model_dump(mode="json", exclude={"model"}) == defaults
    assert set(defaults) == set(JobSpec.model_fields) - {"model"}
