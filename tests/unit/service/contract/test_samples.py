"""Prompts of a job, and continuations cut at their first difference."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.contract.continuations import cut_at_difference, pair_of, summary
from service.contract.efforts import EFFORTS
from service.contract.samples import BUILT_IN, SMALL_MODELS, SamplesSpec
from service.contract.spec import JobSpec

words = st.lists(st.sampled_from(["sun", "suns", "a", ",", "\n"]), max_size=8).map(" ".join)


def evaluated(effort: str | None = None, **evaluation: Any) -> JobSpec:
    return JobSpec.model_validate({"model": {"id": "m"}, "effort": effort, "evaluation": evaluation})


@given(words, words)
def test_both_texts_are_kept_whole_and_the_common_part_is_common(dense: str, pruned: str) -> None:
    pair = cut_at_difference(dense, pruned)
    assert (pair.common + pair.dense, pair.common + pair.pruned) == (dense, pruned)
    assert (pair.dense == pair.pruned == "") == (dense == pruned)


@pytest.mark.parametrize(
    ("dense", "pruned", "common"),
    [
        ("the sun heats", "the sun hears", "the sun "),
        ("the sun", "the suns", "the "),
        ("the sun", "the sun.", "the sun"),
        ("same", "same", "same"),
        ("one", "two", ""),
        ("", "two", ""),
    ],
)
def test_the_difference_begins_at_a_whole_word(dense: str, pruned: str, common: str) -> None:
    assert cut_at_difference(dense, pruned).common == common


def test_without_a_dense_model_nothing_differs() -> None:
    assert pair_of({"dense": None, "pruned": {"text": "alone"}}).common == "alone"
    assert summary({"continuations": [{}], "equal_share": None, "repetition": {"pruned": 0.25}}) == (
        "repeated 4-grams: pruned 25 %."
    )


def test_built_in_prompts_are_twelve_different_texts_of_which_five_are_taken() -> None:
    assert len(set(BUILT_IN)) == len(BUILT_IN) == 12
    assert SMALL_MODELS.texts == BUILT_IN[:5]
    assert SamplesSpec(prompts=["mine"], num_prompts=3).texts == ("mine",)


@pytest.mark.parametrize("effort", EFFORTS)
def test_samples_of_an_effort_are_for_small_models_and_requested_ones_for_all(effort: str) -> None:
    default, requested = evaluated(effort).evaluation.samples, evaluated(effort, samples={}).evaluation.samples
    assert default is not None
    assert requested is not None
    assert (default.are_taken_of(2**30), default.are_taken_of(2**30 + 1)) == (True, False)
    assert requested.are_taken_of(2**60)
    assert evaluated(effort, samples=None).evaluation.samples is None
    assert evaluated().evaluation.samples is None


def test_only_requested_samples_need_a_head() -> None:
    assert "/evaluation/samples" not in evaluated("quick").uses_of_head()
    assert "/evaluation/samples" in evaluated(samples={"prompts": ["a"]}).uses_of_head()


@pytest.mark.parametrize(
    ("samples", "place"),
    [
        ({"prompts": []}, ("prompts",)),
        ({"prompts": ["a"] * 17}, ("prompts",)),
        ({"prompts": ["a", ""]}, ("prompts", 1)),
        ({"prompts": [" \n"]}, ("prompts", 0)),
        ({"prompts": ["x" * 1001]}, ("prompts", 0)),
        ({"prompts": "a"}, ("prompts",)),
        ({"num_prompts": 13}, ("num_prompts",)),
        ({"max_new_tokens": 0}, ("max_new_tokens",)),
        ({"max_new_tokens": 257}, ("max_new_tokens",)),
        ({"max_new_tokens": 1.5}, ("max_new_tokens",)),
        ({"chat": "yes"}, ("chat",)),
        ({"temperature": 1}, ("temperature",)),
        (True, ()),
    ],
)
def test_bad_settings_are_refused_by_their_field(samples: Any, place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        evaluated(samples=samples)
    assert [error["loc"] for error in caught.value.errors()] == [("evaluation", "samples", *place)]
