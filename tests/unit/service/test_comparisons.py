"""In what jobs differ, and which of them does best at what."""

import math
from itertools import permutations
from typing import Any

import pytest

from service.comparisons.differences import differences
from service.comparisons.measures import Measure, measures
from service.contract.readings import Quantity
from service.contract.spec import JobSpec
from service.dashboard.comparing import line_of
from service.dashboard.points.conditions import conditions_text


def spec(**body: Any) -> dict[str, Any]:
    return JobSpec.model_validate({"model": {"id": "org/model"}} | body).model_dump(mode="json")


DENSE = 8.0


def perplexity(value: float, *, error: float | None = 0.001, paired: float | None = None, **how: Any) -> dict[str, Any]:
    """With the standard errors of the mean loss, and of its difference from the dense model's."""
    measured = {
        "dataset": "wiki",
        "sequence_length": 512,
        "windows": 20,
        "tokens": 10_220,
        "perplexity": value,
        "standard_error": error,
    }
    if error is not None:
        measured["ci95"] = [value * math.exp(-1.96 * error), value * math.exp(1.96 * error)]
    if paired is not None:
        measured["loss_difference"] = {"mean": math.log(value / DENSE), "standard_error": paired}
    return measured | how


def pruned(*measured: dict[str, Any], dense: float = DENSE) -> dict[str, Any]:
    return {"pruned": {"perplexity": list(measured)}, "dense": {"perplexity": [perplexity(dense)]}}


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
                    "tasks": [task("piqa", acc, 0.01)],
                }
            }
            for acc in order
        ]
        found = by_name(measures(metrics))
        assert verdict(found["pruned", "perplexity", "wiki"]) == (order.index(0.3), [])
        assert verdict(found["pruned", "acc", "piqa"]) == (order.index(0.3), [])


def task(name: str, accuracy: float, error: float | None, metric: str = "acc") -> dict[str, Any]:
    return {"task": name, "samples": 9, "few_shot": 0, "metrics": {metric: {"value": accuracy, "standard_error": error}}}


def verdict(measure: Measure) -> tuple[int | None, list[int]]:
    return measure.best, list(measure.tied)


def test_a_perplexity_is_best_only_if_the_paired_interval_excludes_zero() -> None:
    """Windows differ more from each other than two recipes do, so that the perplexities' own intervals overlap."""
    near, far = math.exp(math.log(10) + 0.02), math.exp(math.log(10) + 0.04)
    for other, expected in ((near, (None, [0, 1])), (far, (0, []))):
        metrics = [pruned(perplexity(value, error=0.5, paired=0.01)) for value in (10.0, other)]
        assert verdict(by_name(measures(metrics))["pruned", "perplexity", "wiki"]) == expected
    alone = [{"pruned": {"perplexity": [perplexity(value, error=0.5, paired=0.01)]}} for value in (10.0, far)]
    assert verdict(measures(alone)[0]) == (None, [0, 1]), "without the dense model only the own intervals count"


def test_differences_from_different_dense_models_are_not_paired() -> None:
    metrics = [pruned(perplexity(value, error=0.5, paired=0.001), dense=dense) for value, dense in ((10.0, 8.0), (11.0, 9.0))]
    assert verdict(by_name(measures(metrics))["pruned", "perplexity", "wiki"]) == (None, [0, 1])


def test_the_leaders_tie_and_the_one_behind_does_not() -> None:
    metrics = [{"pruned": {"tasks": [task("piqa", accuracy, 0.01)]}} for accuracy in (0.7, 0.5, 0.71)]
    assert verdict(measures(metrics)[0]) == (None, [0, 2])


@pytest.mark.parametrize("error", [None, 0.001])
def test_equal_values_tie_and_values_without_intervals_are_not_judged(error: float | None) -> None:
    equal = measures([{"pruned": {"perplexity": [perplexity(10.0, error=error)]}}] * 2)
    assert verdict(equal[0]) == (None, [0, 1])
    unknown = measures([{"pruned": {"perplexity": [perplexity(value, error=None)]}} for value in (10.0, 20.0)])
    assert verdict(unknown[0]) == (None, [])


@pytest.mark.parametrize("how", [{"sequence_length": 1024}, {"windows": 19}, {"tokens": 10_219}, {"bos": "window"}])
def test_different_measurements_are_not_compared(how: dict[str, Any]) -> None:
    found = measures([{"pruned": {"perplexity": [perplexity(20)]}}, {"pruned": {"perplexity": [perplexity(10, **how)]}}])
    assert [(each.values, *verdict(each)) for each in found] == [([20, None], None, []), ([None, 10], None, [])]


def test_exact_figures_tie_if_equal_and_times_if_within_their_spread() -> None:
    metrics: list[dict[str, Any]] = [
        {"bytes": 5_000_000, "seconds": {"pruning": 100.0}},
        {"bytes": 5_000_001, "seconds": {"pruning": 103.0}},
        {"bytes": 6_000_000, "seconds": {"pruning": 90.0}},
    ]
    found = by_name(measures(metrics))
    assert verdict(found[None, "artifact_bytes", None]) == (None, [0, 1])
    assert verdict(found[None, "seconds", None]) == (2, [])
    assert verdict(by_name(measures(metrics[:2]))[None, "seconds", None]) == (None, [0, 1])
    assert verdict(by_name(measures([metrics[0], {"seconds": {}}]))[None, "seconds", None]) == (None, [])


def test_dense_models_and_unknown_metrics_are_never_best() -> None:
    metrics = [
        {"dense": {"perplexity": [perplexity(value)]}, "sparsity": value, "pruned": {"tasks": [task("new", value, 0.0, "score")]}}
        for value in (0.5, 0.6)
    ]
    found = measures(metrics)
    assert len(found) == 3
    assert [verdict(each) for each in found] == [(None, [])] * 3


def test_agreement_is_better_closer_to_the_dense_model() -> None:
    parts = [
        {
            "agreement": [
                {"dataset": "wiki", "windows": 2, "tokens": 9, "kl_divergence": kl, "top1_agreement": same}
                | {"kl_standard_error": 0.01, "top1_standard_error": 0.01}
            ]
        }
        for kl, same in ((0.2, 0.9), (0.1, 0.8))
    ]
    found = by_name(measures(parts))
    assert found["pruned", "kl_divergence", "wiki"].best == 1
    assert found["pruned", "top1_agreement", "wiki"].best == 0


def test_speeds_compare_by_device_and_each_jobs_fastest_if_their_ranges_are_apart() -> None:
    def speed(device: str, pruned: float, sparse: float | None) -> dict[str, Any]:
        def around(rate: float) -> dict[str, float]:
            return {"median": rate, "lowest": 0.95 * rate, "highest": 1.05 * rate}

        timed = {which: {"prefill": around(rate), "decode": around(rate / 2)} for which, rate in
                 (("dense", 9.0), ("pruned", pruned), ("sparse", sparse)) if rate}  # fmt: skip
        return {"speed": {"device": device, "threads": 2, "prompt_tokens": 512, "new_tokens": 32, "dense": None} | timed}

    found = by_name(measures([speed("A", 10.0, None), speed("A", 8.0, 12.0), speed("B", 99.0, None)]))
    line = found["pruned", "prefill_tokens_per_second", "A"]
    assert (line.values, verdict(line)) == ([10.0, 12.0, None], (1, []))
    assert found["pruned", "decode_tokens_per_second", "B"].best is None
    assert found["dense", "decode_tokens_per_second", "A"].best is None
    near = by_name(measures([speed("A", 10.0, None), speed("A", 10.5, None)]))
    assert verdict(near["pruned", "prefill_tokens_per_second", "A"]) == (None, [0, 1])


@pytest.mark.parametrize("nothing", [None, {}, {"dense": None, "pruned": None, "agreement": None, "seconds": None}])
def test_missing_measurements_are_skipped(nothing: dict[str, Any] | None) -> None:
    found = measures([nothing, {"sparsity": 0.5}])
    assert [(each.quantity, each.values) for each in found] == [(Quantity("sparsity"), [None, 0.5])]


def test_a_row_says_a_tie_of_all_once_and_shows_half_of_each_interval() -> None:
    tie = line_of(measures([{"pruned": {"tasks": [task("piqa", accuracy, 0.01)]}} for accuracy in (0.7, 0.71)])[0])
    assert (tie.best, tie.tied, tie.is_tie) == (None, frozenset(), True)
    assert tie.values == ["70.0 ± 2.0 %", "71.0 ± 2.0 %"]
    leading = line_of(measures([{"pruned": {"tasks": [task("piqa", accuracy, 0.01)]}} for accuracy in (0.7, 0.5, 0.71)])[0])
    assert (leading.best, leading.tied, leading.is_tie) == (None, frozenset({0, 2}), False)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ((("sequence_length", 1024), ("windows", 20), ("tokens", 20480)), "20 × 1,024 tokens"),
        (
            (("windows", 20), ("tokens", 20480), ("bos_per_window", 1)),
            "20 windows, 20,480 tokens, BOS at the head of each window",
        ),
        ((("few_shot", 0), ("samples", 200)), "0 shots, 200 samples"),
        ((("max_new_tokens", 48), ("chat", 1), ("prompts", 5)), "48 new tokens, chat template, 5 prompts"),
        ((), ""),
    ],
)
def test_conditions_are_written_in_words(conditions: tuple[tuple[str, int], ...], text: str) -> None:
    quantity = Quantity("perplexity", "pruned", "wiki", conditions)
    assert line_of(Measure(quantity, [])).how == text
    assert conditions_text(quantity) == ", ".join(filter(None, ["wiki", text]))


def test_samples_of_equal_prompts_share_rows_and_name_no_best_without_an_error() -> None:
    def samples(repeated: float, prompts: str = "built-in") -> dict[str, Any]:
        known = {"prompts": prompts, "max_new_tokens": 48, "continuations": [{}], "repetition": {"pruned": repeated}}
        return {"samples": known | {"equal_share": 1 - repeated}}

    found = measures([samples(0.5), samples(0.25), samples(0.1, prompts="ab12")])
    repetition = [(each.quantity.on, list(each.values), each.best) for each in found if each.quantity.name == "repetition"]
    assert repetition == [("built-in prompts", [0.5, 0.25, None], None), ("ab12 prompts", [None, None, 0.1], None)]
    equal = next(each for each in found if each.quantity.name == "equal_tokens")
    assert equal.best is None
