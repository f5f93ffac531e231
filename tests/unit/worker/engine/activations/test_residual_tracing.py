from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.activations.residual_tracing import Sums

PRODUCT, RESIDUAL, BRANCH = (torch.full((2, 3, 4), value) for value in (1.0, 10.0, 100.0))


def found(run: Callable[[Tensor], object]) -> list[float]:
    """What is added to a product, in order, each by the number it is full of."""
    product, addends = PRODUCT.clone(), list[tuple[str, float]]()

    def note(tag: str, addend: Tensor) -> None:
        assert addend.shape == product.shape
        addends.append((tag, float(addend.flatten()[0])))

    sums = Sums(note)
    with sums:
        sums.follow(product, "p")
        run(product)
    assert all(tag == "p" for tag, _ in addends)
    return [value for _, value in addends]


@pytest.mark.parametrize(
    "run",
    [
        lambda y: RESIDUAL + y,
        lambda y: y + RESIDUAL,
        lambda y: torch.add(RESIDUAL, y),
        lambda y: RESIDUAL.clone().add_(y),
        lambda y: y.view(6, 4).reshape(2, 3, 4) + RESIDUAL,
        lambda y: functional.dropout(y, 0.1, training=False) + RESIDUAL,
        lambda y: (RESIDUAL.view(6, 4) + y.view(6, 4)).view(2, 3, 4),
    ],
    ids=["right", "left", "add", "in place", "reshaped", "dropout", "flattened"],
)
def test_the_addend_of_a_product_is_traced_in_every_notation(run: Callable[[Tensor], object]) -> None:
    assert found(run) == [10.0]


def test_a_branch_and_the_residual_stream_are_both_traced() -> None:
    assert found(lambda y: (BRANCH + y) + RESIDUAL) == [100.0, 10.0]


def test_a_sum_continued_in_the_next_step_is_complete() -> None:
    def run(y: Tensor) -> Tensor:
        hidden = RESIDUAL + y
        return hidden + functional.layer_norm(hidden, (4,))

    assert found(run) == [10.0]


@pytest.mark.parametrize(
    "run",
    [
        lambda y: functional.layer_norm(y, (4,)) + RESIDUAL,
        lambda y: 2 * y + RESIDUAL,
        lambda y: y + 1.0,
        lambda y: y + RESIDUAL[0],
    ],
    ids=["normalized", "scaled", "scalar", "broadcast"],
)
def test_functions_of_a_product_and_other_sizes_are_ignored(run: Callable[[Tensor], object]) -> None:
    assert found(run) == []


def test_two_products_are_addends_of_each_other() -> None:
    seen: list[tuple[str, float]] = []
    sums = Sums[str](lambda tag, addend: seen.append((tag, float(addend.flatten()[0]))))
    one, other = PRODUCT.clone(), BRANCH.clone()
    with sums:
        sums.follow(one, "one")
        sums.follow(other, "other")
        _ = one + other + RESIDUAL
    assert seen == [("one", 100.0), ("other", 1.0), ("one", 10.0), ("other", 10.0)]


def test_nothing_is_traced_after_the_reset() -> None:
    seen: list[str] = []
    sums = Sums[str](lambda tag, _addend: seen.append(tag))
    product = PRODUCT.clone()
    with sums:
        sums.follow(product, "p")
        sums.forget()
        _ = product + RESIDUAL
    assert seen == []
