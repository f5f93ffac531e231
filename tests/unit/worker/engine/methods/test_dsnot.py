from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.engine import oracles
from tests.support.size import sized
from worker.engine.methods.dsnot import Stop, _Swaps, _walk_keeping_sign, grow_and_prune

WIDTH = 16


@dataclass(frozen=True)
class Layer:
    """A layer whose sums are exact in float32 and in which no two scores or saliencies are equal."""

    weight: Tensor
    pruned: Tensor
    mean: Tensor
    variance: Tensor
    saliency: Tensor


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    rows = draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))

    def permutations() -> Tensor:
        return torch.stack([torch.randperm(WIDTH, generator=generator) for _ in range(rows)]).float()

    def signs(*shape: int) -> Tensor:
        return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0

    weight = (2 * permutations() + 1) * signs(rows, WIDTH)  # odd, so that no two agree after division by 2^k
    mean = signs(WIDTH) * torch.tensor(draw(st.lists(st.sampled_from([0, 1, 1, 1]), min_size=WIDTH, max_size=WIDTH)))
    variance = 2.0 ** torch.randint(-2, 3, (WIDTH,), generator=generator)
    pruned = torch.rand(rows, WIDTH, generator=generator) < draw(st.sampled_from([0.25, 0.5, 0.75]))
    return Layer(weight, pruned, mean, variance, permutations())


OPTIONS = st.fixed_dictionaries(
    {
        "max_cycles": st.sampled_from([0, 1, 3, 50]),
        "threshold": st.sampled_from([0.0, 4.0, 30.0]),
        "variance_power": st.sampled_from([0.0, 1.0, 2.0]),
        "stop_on_sign_change": st.booleans(),
        "pattern": st.sampled_from([None, None, (2, 4), (1, 4), (4, 8)]),
    }
)


def run(layer: Layer, options: dict[str, object]) -> Tensor:
    return grow_and_prune(
        layer.weight,
        layer.pruned,
        mean=layer.mean,
        variance=layer.variance,
        saliency=layer.saliency,
        **options,  # type: ignore[arg-type]
    )


@settings(max_examples=sized(100, 400))
@given(layers(), OPTIONS)
def test_every_row_matches_a_step_by_step_search(layer: Layer, options: dict[str, object]) -> None:
    refined = run(layer, options)
    pattern = options["pattern"]
    for row in range(len(layer.weight)):
        expected = oracles.refine_row(
            layer.weight[row].double().numpy(),
            layer.pruned[row].numpy(),
            layer.mean.double().numpy(),
            layer.variance.double().numpy(),
            layer.saliency[row].double().numpy(),
            max_cycles=options["max_cycles"],  # type: ignore[arg-type]
            threshold=options["threshold"],  # type: ignore[arg-type]
            power=options["variance_power"],  # type: ignore[arg-type]
            sign_rule=bool(options["stop_on_sign_change"]),
            group=pattern[1] if isinstance(pattern, tuple) else None,
        )
        np.testing.assert_array_equal(refined[row].numpy(), expected)


@settings(max_examples=sized(50, 200))
@given(layers(), OPTIONS)
def test_rows_and_groups_keep_their_pruned_counts(layer: Layer, options: dict[str, object]) -> None:
    refined = run(layer, options)
    pattern = options["pattern"]
    group = pattern[1] if isinstance(pattern, tuple) else WIDTH
    counts = [mask.reshape(len(mask), -1, group).sum(dim=2) for mask in (layer.pruned, refined)]
    assert torch.equal(*counts)


@settings(max_examples=sized(50, 200))
@given(layers(), OPTIONS)
def test_under_the_sign_rule_the_expected_error_keeps_its_sign(layer: Layer, options: dict[str, object]) -> None:
    refined = run(layer, options | {"stop_on_sign_change": True})
    contribution = layer.weight * layer.mean
    before = (contribution * layer.pruned).sum(dim=1)
    after = (contribution * refined).sum(dim=1)
    assert torch.equal(before.sign(), after.sign())


@settings(max_examples=sized(50, 200))
@given(layers(), OPTIONS)
def test_the_ungrouped_sign_rule_never_increases_expected_error(layer: Layer, options: dict[str, object]) -> None:
    refined = run(layer, options | {"stop_on_sign_change": True, "pattern": None})
    contribution = layer.weight * layer.mean
    before = (contribution * layer.pruned).sum(dim=1).abs()
    assert ((contribution * refined).sum(dim=1).abs() <= before).all()


def step_by_step(error: Any, change: Any, available: int, threshold: float) -> tuple[int, Stop, list[Any]]:
    """One row under the sign rule in float32: number of swaps, stop reason, and the errors before every step."""
    sign, errors = np.sign(error), []
    for step, each in enumerate(change):
        errors.append(error)
        if abs(error) <= threshold:
            return step, Stop.THRESHOLD, errors
        if step >= available:
            return step, Stop.NO_PAIR, errors
        if np.sign(error + each) != sign:
            return step, Stop.SIGN_CHANGE, errors
        error = error + each
    return len(change), Stop.MAX_CYCLES, errors


def test_errors_are_float32_sums_in_the_order_of_the_swaps() -> None:
    """Sums of these integers are rounded, and thresholds are errors that occur: another order or precision stops elsewhere."""
    generator = torch.Generator().manual_seed(0)
    error = torch.randint(1 << 24, 1 << 25, (400,), generator=generator).float()
    change = -torch.randint(1, 1 << 24, (400, 6), generator=generator).float() / torch.tensor([8, 4, 1, 8, 8, 8])
    available = torch.randint(0, 8, (400,), generator=generator)
    rows = list(zip(error.numpy(), change.numpy(), available.tolist(), strict=True))
    seen: set[Stop] = set()
    for threshold in [0.0, *(float(abs(each)) for row in rows[:10] for each in step_by_step(*row, 0.0)[2])]:
        (used,), stops = _walk_keeping_sign(error, _Swaps(change, change, change, available), threshold)
        expected = [step_by_step(*row, threshold)[:2] for row in rows]
        assert list(zip(used.tolist(), stops.tolist(), strict=True)) == expected
        seen.update(stop for _, stop in expected)
    assert seen == set(Stop)


def test_nothing_is_changed_in_place() -> None:
    weight, pruned = torch.randn(8, 16), torch.rand(8, 16) < 0.5
    tensors = [weight, pruned, torch.randn(16), torch.rand(16) + 0.1, weight.abs()]
    copies = [tensor.clone() for tensor in tensors]
    refined = grow_and_prune(
        weight, pruned, mean=tensors[2], variance=tensors[3], saliency=tensors[4], max_cycles=50, threshold=0.0
    )
    assert not torch.equal(refined, pruned)
    assert all(torch.equal(*pair) for pair in zip(tensors, copies, strict=True))


@pytest.mark.parametrize("pattern", [None, (2, 4)])
def test_constant_inputs_are_revived_first_and_zero_inputs_never(
    pattern: tuple[int, int] | None,
) -> None:
    weight = torch.tensor([[1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0]])
    pruned = torch.tensor([[True, True, False, False, True, True, False, False]])
    mean = torch.tensor([1.0, 0.0, 0.0, 0.25, 1.0, 1.0, 0.0, 0.25])
    variance = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    refined = grow_and_prune(
        weight, pruned, mean=mean, variance=variance, saliency=weight.abs(), max_cycles=1, threshold=0.0, pattern=pattern
    )
    assert not refined[0, 0]
    assert refined[0, 1]
