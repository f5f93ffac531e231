"""Names of jobs: bounds, and what the points of a sweep are called."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.comparisons.differences import differences
from service.contract.display_names import MAX_NAME
from service.contract.recipe.names import short_recipe_name
from service.contract.spec import JobSpec
from service.kit.quantities import age, change
from service.sweeps.points import named
from tests.support.job_examples import filled


def spec(**body: Any) -> JobSpec:
    return JobSpec.model_validate({"model": {"id": "org/model"}, **body})


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME + 1), 7])
def test_names_without_text_or_too_long_are_refused(name: Any) -> None:
    with pytest.raises(ValidationError, match="name"):
        spec(name=name)


@pytest.mark.parametrize(
    ("body", "sweep", "name"),
    [
        ({}, "grid", "grid #7"),
        ({}, None, None),
        ({"name": "mine"}, "grid", "mine"),
        ({}, "x" * MAX_NAME, "x" * (MAX_NAME - 3) + " #7"),
    ],
)
def test_points_are_named_after_their_sweep(body: dict[str, Any], sweep: str | None, name: str | None) -> None:
    point = named(spec(**body), sweep, 7)
    assert point.name == name
    assert JobSpec.model_validate(point.model_dump(mode="json")) == point


def test_a_name_is_no_setting_that_differs() -> None:
    assert differences([filled(name="one"), filled(name="two")]) == []


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ({"preset": "best"}, "best"),
        ({"preset": "best", "pattern": {"type": "n:m", "n": 2, "m": 4}}, "best"),
        ({"preset": "fast", "criterion": "ria"}, "fast, changed"),
        ({}, "balanced"),
        ({"criterion": "wanda"}, "wanda, then dsnot"),
    ],
)
def test_a_recipe_is_named_by_its_preset_unless_changed(recipe: dict[str, Any], name: str) -> None:
    assert short_recipe_name(filled(recipe=recipe)["recipe"]) == name


def test_a_preset_of_another_version_keeps_its_name() -> None:
    assert short_recipe_name({"preset": "future", "pattern": {}}) == "future"


@pytest.mark.parametrize(
    ("value", "text"),
    [(10.0, "+0.0 %"), (10.38, "+3.8 %"), (17.6, "+76 %"), (9.5, "−5.0 %"), (100.0, "× 10"), (34220.0, "× 3,422")],
)
def test_a_change_is_a_percentage_or_a_factor(value: float, text: str) -> None:
    assert change(value, 10.0) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "now"), (59, "now"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (9e5, "10 d")]
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text
