"""In what jobs differ, and which of them does best at what."""

from itertools import permutations
from typing import Any

import pytest

from service.comparisons.differences import differences
from service.comparisons.measures import Measure, Quantity, measures
from service.contract.spec import JobSpec
from service.dashboard.comparing import line_of


def spec(**body: Any) -> dict[str, Any]:
    return JobSpec.model_validate({"model": {"id": "org/model"}} | body).model_dump(mode="json")


def perplexity(value: float, **how: Any) -> dict[str, Any]:
    return {"dataset": "wiki", "sequence_length": 512, "windows": 20, "tokens": 10_220, "perplexity": value} | how


def by_name(found: list[Measure]) -> dict[tuple[str | None, str, str | None], Measure]:
    named: dict[tuple[str | None, str, str | None], Measure] = {
        (each.quantity.model, each.quantity.name, each.quantity.on): each for each in found
    }
    assert len(named) == len(found)
    return named


def test_only_differences_are_listed_and_missing_values_are_null() -> None:
    half = spec(recipe={"pattern": {"type": "unstructured", "sparsity": 0.5}}, labels={"a/b": "1"})
    pairs = spec(recipe={"pattern": {"type": "n:m", "n": 2, "m": 4}}, evaluation={"perplexity": ["wiki-sample"]})
    found = {each.pointer: each.values for each in differences([half, pairs])}
    assert found == {
        "/recipe/pattern/type": ["unstructured", "n:m"],
        "/recipe/pattern/sparsity": [0.5, None],
        "/recipe/pattern/n": [None, 2],
        "/recipe/pattern/m": [None, 4],
        "/evaluation/perplexity": [["wikitext2:test"], ["wiki-sample:test"]],
        "/labels": [None, {}],
        "/labels/a~1b": ["1", None],
    }


def test_defaults_newer_than_a_job_are_no_difference() -> None:
    old = spec()
    del old["output"]
    assert differences([old, spec()]) == []


def test_a_spec_invalid_today_is_compared_as_it_is() -> None:
    odd = spec() | {"recipe": {"criterion": "tea leaves"}}
    assert ("/recipe/criterion", ["tea leaves", "wanda"]) in [(each.pointer, each.values) for each in differences([odd, spec()])]


def test_lowest_perplexity_and_highest_accuracy_are_best() -> None:
    accuracy = {0.1: 11.0, 0.2: 12.0, 0.3: 10.0}
    for order in permutations(accuracy):
        metrics = [
            {
                "pruned": {
                    "perplexity": [perplexity(accuracy[acc])],
                    "tasks": [{"task": "piqa", "samples": 9, "few_shot": 0, "metrics": {"acc": {"value": acc}}}],
                }
            }
            for acc in order
        ]
        found = by_name(measures(metrics))
        assert found["pruned", "perplexity", "wiki"].best == [order.index(0.3)]
        assert found["pruned", "acc", "piqa"].best == [order.index(0.3)]


@pytest.mark.parametrize("how", [{"sequence_length": 1024}, {"windows": 19}, {"tokens": 10_219}])
def test_different_measurements_are_not_compared(how: dict[str, int]) -> None:
    found = measures([{"pruned": {"perplexity": [perplexity(20)]}}, {"pruned": {"perplexity": [perplexity(10, **how)]}}])
    assert [(each.values, each.best) for each in found] == [([20, None], []), ([None, 10], [])]


def test_equally_good_jobs_are_all_best_and_a_single_one_is_not() -> None:
    metrics: list[dict[str, Any]] = [{"bytes": 5, "seconds": {"pruning": 1.0}}, {"bytes": 5, "seconds": {}}, {"bytes": 6}]
    found = by_name(measures(metrics))
    assert found[None, "artifact_bytes", None].best == [0, 1]
    assert (found[None, "seconds", None].values, found[None, "seconds", None].best) == ([1.0, None, None], [])


def test_dense_models_and_unknown_metrics_are_never_best() -> None:
    task = {"task": "new", "samples": 9, "few_shot": 0}
    metrics = [
        {
            "dense": {"perplexity": [perplexity(value)]},
            "sparsity": value,
            "pruned": {"tasks": [task | {"metrics": {"score": {"value": value}}}]},
        }
        for value in (0.5, 0.6)
    ]
    found = measures(metrics)
    assert len(found) == 3
    assert [each.best for each in found] == [[], [], []]


def test_agreement_is_better_closer_to_the_dense_model() -> None:
    parts = [
        {"agreement": [{"dataset": "wiki", "windows": 2, "tokens": 9, "kl_divergence": kl, "top1_agreement": same}]}
        for kl, same in ((0.2, 0.9), (0.1, 0.8))
    ]
    found = by_name(measures(parts))
    assert found["pruned", "kl_divergence", "wiki"].best == [1]
    assert found["pruned", "top1_agreement", "wiki"].best == [0]


def test_speeds_compare_by_device_and_each_jobs_fastest() -> None:
    def speed(device: str, pruned: float, sparse: float | None) -> dict[str, Any]:
        timed = {which: {"prefill": {"median": rate}, "decode": {"median": rate / 2}} for which, rate in
                 (("dense", 9.0), ("pruned", pruned), ("sparse", sparse)) if rate}  # fmt: skip
        return {"speed": {"device": device, "threads": 2, "prompt_tokens": 512, "new_tokens": 32, "dense": None} | timed}

    found = by_name(measures([speed("A", 10.0, None), speed("A", 8.0, 12.0), speed("B", 99.0, None)]))
    line = found["pruned", "prefill_tokens_per_second", "A"]
    assert (line.values, line.best) == ([10.0, 12.0, None], [1])
    assert found["pruned", "decode_tokens_per_second", "B"].best == []
    assert found["dense", "decode_tokens_per_second", "A"].best == []


@pytest.mark.parametrize("nothing", [None, {}, {"dense": None, "pruned": None, "agreement": None, "seconds": None}])
def test_missing_measurements_are_skipped(nothing: dict[str, Any] | None) -> None:
    found = measures([nothing, {"sparsity": 0.5}])
    assert [(each.quantity, each.values) for each in found] == [(Quantity("sparsity"), [None, 0.5])]


@pytest.mark.parametrize(
    ("sizes", "marked"), [((1_000_000, 1_000_001, 2_000_000), {0, 1}), ((1_000_000, 1_000_001), set()), ((1, 2, None), {0})]
)
def test_jobs_with_equal_displayed_figures_are_all_best(sizes: tuple[int | None, ...], marked: set[int]) -> None:
    [measure] = measures([{"bytes": size} if size else {} for size in sizes])
    assert line_of(measure).best == marked


def test_samples_of_equal_prompts_share_rows_and_the_least_repetition_is_best() -> None:
    def samples(repeated: float, prompts: str = "built-in") -> dict[str, Any]:
        known = {"prompts": prompts, "max_new_tokens": 48, "continuations": [{}], "repetition": {"pruned": repeated}}
        return {"samples": known | {"equal_share": 1 - repeated}}

    found = measures([samples(0.5), samples(0.25), samples(0.1, prompts="ab12")])
    repetition = [(each.quantity.on, list(each.values), list(each.best)) for each in found if each.quantity.name == "repetition"]
    assert repetition == [("built-in prompts", [0.5, 0.25, None], [1]), ("ab12 prompts", [None, None, 0.1], [])]
    equal = next(each for each in found if each.quantity.name == "equal_tokens")
    assert equal.best == [1]
