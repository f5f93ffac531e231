"""Efforts fill in what a job's body leaves out, and nothing that it names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.datasets import DATASETS
from service.contract.efforts import EFFORTS, FILLED
from service.contract.model_spec import ModelSpec
from service.contract.spec import CalibrationSpec, JobSpec
from service.recipes.operations import describe
from tests.support.job_examples import filled

_CALIBRATION: dict[str, list[Any]] = {"dataset": ["wiki-sample:train"], "num_samples": [3], "sequence_length": [64]}
_EVALUATION: dict[str, list[Any]] = {"perplexity": [[], ["c4-sample:test"]], "sequence_length": [32], "max_windows": [None, 5]}


def parts(values: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in values.items()})


def without_samples(part: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in part.items() if field != "samples"}


@given(st.sampled_from(list(EFFORTS)), parts(_CALIBRATION), parts(_EVALUATION))
def test_named_fields_win_and_the_effort_fills_the_others(
    name: str, calibration: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    spec = filled(effort=name, calibration=calibration, evaluation=evaluation)
    for part, named in (("calibration", calibration), ("evaluation", evaluation)):
        wanted = getattr(EFFORTS[name], part) | named
        assert {field: spec[part][field] for field in FILLED[part] if field != "samples"} == without_samples(wanted)
        assert spec["evaluation"]["samples"]["max_weight_bytes"] == 1 << 30


@pytest.mark.parametrize("name", EFFORTS)
def test_a_stored_spec_has_every_field_and_keeps_them_if_sent_again(name: str) -> None:
    stored = filled(effort=name)
    assert stored["effort"] == name
    assert JobSpec.model_validate(stored).model_dump(mode="json") == stored
    before = stored | {"calibration": stored["calibration"] | {"num_samples": 7}}
    assert JobSpec.model_validate(before).calibration.num_samples == 7


@pytest.mark.parametrize("name", EFFORTS)
def test_every_effort_names_the_same_fields(name: str) -> None:
    assert {part: tuple(getattr(EFFORTS[name], part)) for part in FILLED} == FILLED


def test_the_quick_effort_needs_no_hub() -> None:
    spec = JobSpec.model_validate({"model": {"id": "m"}, "effort": "quick"})
    for reference in (spec.calibration.dataset, *spec.evaluation.perplexity):
        assert "installed" in DATASETS[reference.partition(":")[0]].summary


def test_a_body_without_an_effort_has_the_texts_of_standard() -> None:
    plain, standard = filled(), filled(effort="standard")
    assert plain == standard | {"effort": None, "evaluation": {**standard["evaluation"], "samples": None}}


def test_a_body_built_of_types_is_filled_in_like_json() -> None:
    spec = JobSpec(model=ModelSpec(id="m"), effort="quick", calibration=CalibrationSpec(num_samples=2))
    assert spec == JobSpec.model_validate({"model": {"id": "m"}, "effort": "quick", "calibration": {"num_samples": 2}})


@pytest.mark.parametrize("effort", ["slow", "", 1, ["quick"], {"quick": 1}])
def test_an_unknown_effort_is_refused(effort: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        filled(effort=effort)
    assert [each["loc"] for each in refused.value.errors()] == [("effort",)]


@pytest.mark.parametrize("part", FILLED)
@pytest.mark.parametrize("value", [None, 1, "x", []])
def test_a_part_that_is_no_object_is_refused_at_its_place(part: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        filled(effort="quick", **{part: value})
    assert refused.value.errors()[0]["loc"] == (part,)


def test_the_effort_s_texts_are_checked_against_the_named_ones() -> None:
    with pytest.raises(ValidationError, match="overlaps with the calibration data wiki-sample:test"):
        filled(effort="quick", calibration={"dataset": "wiki-sample:test"})


def test_the_catalogue_lists_each_effort_with_what_it_fills_in() -> None:
    assert {each.name: each for each in describe().efforts} == EFFORTS


def test_the_schema_has_no_defaults_that_a_generated_client_would_send() -> None:
    schema = JobSpec.model_json_schema()
    for part, name in (("calibration", "CalibrationSpec"), ("evaluation", "EvaluationSpec")):
        assert "default" not in schema["properties"][part]
        assert all("default" not in schema["$defs"][name]["properties"][field] for field in FILLED[part])
