from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.engine.activations.matmul_tracing import Products, place
from worker.engine.linear import fast_linears

X = torch.arange(15.0).reshape(3, 5)  # (tokens, in)
STACK = torch.randn(2, 4, 5)  # (matrices, out, in)
TURNED = torch.randn(2, 5, 4)  # (matrices, in, out)
BIAS = torch.randn(4)


def seen(run: Callable[[], Any], **matrices: Tensor) -> list[tuple[str, Tensor, bool]]:
    found: list[tuple[str, Tensor, bool]] = []
    views = {place(view): name for name, view in matrices.items()}
    with Products(views, lambda name, x, _key, is_slice: found.append((name, x, is_slice))):
        run()
    return found


@pytest.mark.parametrize(
    "run",
    [
        lambda: functional.linear(X, STACK[1]),
        lambda: functional.linear(X, STACK[torch.tensor(1)], BIAS),
        lambda: X @ STACK[1].T,
        lambda: torch.matmul(X, STACK.transpose(1, 2)[1]),
        lambda: (STACK[1] @ X.T).T,
        lambda: torch.addmm(BIAS, X, STACK[1].t()),
        lambda: X.new_zeros(1, 3, 4).baddbmm(batch1=X[None], batch2=STACK[1:].transpose(1, 2), beta=0, alpha=1.0),
        lambda: functional.linear(X, STACK.view(-1, 5)[4:]),
        lambda: X @ TURNED[1],
        lambda: torch.mm(X, TURNED[1]),
    ],
    ids=["linear", "bias", "transposed", "matmul", "left", "addmm", "baddbmm", "view", "turned", "mm"],
)
def test_a_product_is_traced_in_every_notation(run: Callable[[], Any]) -> None:
    found = seen(run, a=STACK[0], b=STACK[1], c=TURNED[0].t(), d=TURNED[1].t())
    assert [name for name, _, _ in found] in (["b"], ["d"])
    assert torch.equal(found[0][1], X)


@pytest.mark.parametrize(
    "run", [lambda: torch.bmm(X.expand(2, 3, 5), TURNED), lambda: X.expand(2, 3, 5) @ TURNED], ids=["bmm", "matmul"]
)
def test_a_product_with_a_stack_is_traced_slice_by_slice(run: Callable[[], Any]) -> None:
    found = seen(run, a=TURNED[0].t(), b=TURNED[1].t())
    assert [(name, is_slice) for name, _, is_slice in found] == [("a", True), ("b", True)]
    assert all(torch.equal(x, X) for _, x, _ in found)


def test_a_product_with_the_transposed_matrix_is_ignored() -> None:
    square = torch.randn(5, 5)
    assert seen(lambda: X @ square, a=square) == []
    assert len(seen(lambda: X @ square.T, a=square)) == 1


def test_other_products_and_uses_are_ignored() -> None:
    assert seen(lambda: (X @ torch.randn(5, 2), STACK[1] * 2, STACK.sum(), X @ X.T), a=STACK[0], b=STACK[1]) == []


def test_fast_layers_are_traced() -> None:
    layer = nn.Linear(5, 4)
    with torch.no_grad(), fast_linears(layer):
        assert [name for name, _, _ in seen(lambda: layer(X), a=layer.weight)] == ["a"]


def test_matrices_with_shared_inputs_are_reported() -> None:
    keys: list[tuple[Any, ...]] = []
    views = {place(STACK[0]): "a", place(STACK[1]): "b"}
    with Products(views, lambda _name, _x, key, _is_slice: keys.append(key)):
        functional.linear(X, STACK[0])
        functional.linear(X.view(3, 5), STACK[1])
        functional.linear(X.clone(), STACK[1])
    assert keys[0] == keys[1] != keys[2]
