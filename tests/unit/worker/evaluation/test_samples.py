"""Comparison of continuations, and the generation that makes them."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.contract.samples import SamplesSpec
from tests.support import checkpoints
from worker.evaluation.samples.generation import generate
from worker.evaluation.samples.metrics import equal_share, first_difference, repetition, sample_of, samples_of
from worker.evaluation.samples.prompts import Prompts, decode, open_prompts
from worker.failures import JobFailure
from worker.inputs import whole_models
from worker.inputs.whole_models import DeviceTooSmall

tokens = st.lists(st.integers(0, 3), max_size=30)
SPEC = SamplesSpec(prompts=["The sun", "One, two,"], max_new_tokens=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def prompts(model: Path) -> Prompts:
    return open_prompts(model, SPEC, context=64, bos="stream")


@given(tokens, tokens)
def test_all_tokens_before_the_first_difference_are_equal(one: list[int], other: list[int]) -> None:
    place = first_difference(one, other)
    assert place == first_difference(other, one)
    if place is None:
        assert one == other
        assert equal_share(one, other) == 1
    else:
        assert one[:place] == other[:place]
        assert one[place : place + 1] != other[place : place + 1]
        assert equal_share(one, other) == place / max(len(one), len(other)) < 1


@given(tokens)
def test_repetition_counts_4_grams_that_occurred_before(found: list[int]) -> None:
    grams = [found[start : start + 4] for start in range(len(found) - 3)]
    before = sum(gram in grams[:place] for place, gram in enumerate(grams))
    assert repetition(found) == pytest.approx(before / len(grams) if grams else 0)


def test_repetition_is_0_without_and_near_1_with_repeated_text() -> None:
    assert repetition([1, 2, 3]) == repetition(list(range(48))) == 0
    assert repetition([7] * 48) == pytest.approx(44 / 45)


def test_means_are_taken_over_the_prompts() -> None:
    equal = sample_of("a", ["b", "b"], [[1, 2], [1, 2]])
    differing = sample_of("a", ["bcde", "bxde"], [[1, 2, 3, 4], [1, 9]])
    found = samples_of([equal, differing], prompts="built-in", max_new_tokens=4, chat=False, cached=False)
    assert (found.identical, found.equal_share) == (1, (1 + 1 / 4) / 2)
    assert found.tokens == {"dense": 3, "pruned": 2}
    assert (differing.first_difference, equal.first_difference) == (1, None)


def test_every_token_is_reported_and_any_of_them_can_stop_the_generation(model: Path, prompts: Prompts) -> None:
    seen: list[int] = []
    found = generate(model, prompts, "cpu", seen.append)
    assert [len(each) for each in found] == [10, 10], "this model never ends its text"
    assert all(before <= after <= before + 1 for before, after in pairwise(seen))
    assert (seen[0], seen[-1]) == (0, 20)

    def stop(done: int) -> None:
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(model, prompts, "cpu", stop)


def test_a_continuation_does_not_depend_on_the_other_prompts(model: Path, prompts: Prompts) -> None:
    alone = open_prompts(model, SPEC.model_copy(update={"prompts": SPEC.texts[1:]}), context=64, bos="stream")
    assert generate(model, alone, "cpu", lambda _: None) == generate(model, prompts, "cpu", lambda _: None)[1:]


def test_generation_settings_of_the_model_do_not_count(tmp_path: Path, model: Path, prompts: Prompts) -> None:
    other = checkpoints.build()
    other.generation_config.update(do_sample=True, temperature=9.0, repetition_penalty=3.0, max_new_tokens=3)
    other.save_pretrained(tmp_path)
    checkpoints.tokenizer().save_pretrained(tmp_path)
    assert generate(tmp_path, prompts, "cpu", lambda _: None) == generate(model, prompts, "cpu", lambda _: None)


def test_a_model_beyond_the_memory_is_not_loaded(model: Path, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_models, "free_memory", lambda: 1000)
    with pytest.raises(DeviceTooSmall, match="Loading the whole model needs too much memory"):
        generate(model, prompts, "cpu", lambda _: None)


def test_a_device_that_runs_out_of_memory_is_too_small(model: Path, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.LlamaForCausalLM.generate", out_of_memory)
    with pytest.raises(DeviceTooSmall, match="does not hold the whole model"):
        generate(model, prompts, "cpu", lambda _: None)


def test_prompts_begin_with_bos_exactly_where_windows_or_the_tokenizer_have_one(tmp_path: Path, model: Path) -> None:
    adding = tmp_path / "adding"
    checkpoints.save(adding)
    checkpoints.tokenizer(adds_bos=True).save_pretrained(adding)
    for folder, bos, count in ((model, "stream", 0), (model, "window", 1), (adding, "stream", 1), (adding, "window", 1)):
        found = open_prompts(folder, SPEC, context=64, bos=bos)  # type: ignore[arg-type]
        assert [list(each).count(checkpoints.BOS) for each in found.tokens] == [count, count]
        assert [each[0] == checkpoints.BOS for each in found.tokens] == [count == 1] * 2


def test_a_prompt_that_fills_the_context_is_refused(model: Path) -> None:
    with pytest.raises(JobFailure, match=r"evaluation\.samples: prompt 2 has 9 tokens, and the model takes 9"):
        open_prompts(model, SPEC, context=9, bos="stream")
    assert open_prompts(model, SPEC, context=12, bos="stream").new_tokens == [5, 3]


def test_a_tokenizer_that_crashes_is_a_typed_failure(tmp_path: Path) -> None:
    with pytest.raises(JobFailure) as caught:
        open_prompts(checkpoints.with_panicking_tokenizer(tmp_path), SPEC, context=64, bos="stream")
    assert caught.value.code == "model-unsafe"


def test_texts_are_storable_and_bounded(model: Path, prompts: Prompts) -> None:
    odd = checkpoints.tokenizer()("a\x00b\x1bc\nd")["input_ids"]
    [[first, second]] = decode(model, prompts, [[odd, odd * 400]])
    assert first == "a\ufffdb\ufffdc\nd"
    assert len(second) == 2000
