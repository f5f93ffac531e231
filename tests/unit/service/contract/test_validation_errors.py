"""Messages about invalid bodies: what is valid, in the words of the field, and never in pydantic's."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.spec import JobSpec
from service.contract.validation_errors import errors_of

PYDANTIC = re.compile(r"Input should|String should|Value error|valid (number|integer|string|dictionary|list)|_type=")


def errors(body: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(body)
    return {each["pointer"]: each["detail"] for each in errors_of(caught.value, body)}


def with_sparsity(value: Any) -> dict[str, Any]:
    return {"model": {"id": "m"}, "recipe": {"pattern": {"sparsity": value}}}


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (50, "give a fraction between 0 and 1; did you mean 0.5?"),
        (62.5, "give a fraction between 0 and 1; did you mean 0.625?"),
        (1.5, "give a fraction between 0 and 1"),
        (100, "give a fraction between 0 and 1"),
        (1, "must be less than 1"),
        (500, "must be less than 1"),
        (-0.5, "must be at least 0"),
        ("50%", "must be a number"),
        (True, "must be a number"),
    ],
)
def test_a_percentage_is_recognized_where_a_fraction_is_due(value: Any, detail: str) -> None:
    assert errors(with_sparsity(value)) == {"/recipe/pattern/sparsity": detail}


def test_other_bounds_of_numbers_make_no_fractions() -> None:
    body = {"model": {"id": "m"}, "priority": 50, "calibration": {"num_samples": 0}}
    assert errors(body) == {"/priority": "must be at most 9", "/calibration/num_samples": "must be at least 1"}


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.floats(-5, 200), st.text(max_size=5), st.just([]), st.just({})
)
PARTS = ("model", "recipe", "calibration", "evaluation", "output", "labels", "device", "priority", "max_attempts")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JUNK)), st.dictionaries(st.text("a ._-/", max_size=3), JUNK))
def test_no_message_has_the_words_of_pydantic(body: dict[str, Any], labels: dict[str, Any]) -> None:
    try:
        JobSpec.model_validate(body | {"labels": labels})
    except ValidationError as error:
        found = errors_of(error, body | {"labels": labels})
        assert found
        assert not [each for each in found if PYDANTIC.search(each["detail"])]
