import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worker.engine import linear


@pytest.fixture(params=["as it comes", "without oneDNN"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without oneDNN":
        monkeypatch.setattr(linear, "_onednn", lambda: None)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("shape", [(7, 16), (2, 7, 16), (0, 16), (1, 16)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_product_matches_double_precision(shape: tuple[int, ...], with_bias: bool) -> None:
    x, weight = torch.randn(shape), torch.randn(5, 16)
    bias = torch.randn(5) if with_bias else None
    expected = x.double().numpy() @ weight.double().numpy().T + (bias.numpy() if bias is not None else 0)
    np.testing.assert_allclose(linear.product(x, weight, bias), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("_both_ways")
def test_operands_need_not_be_contiguous() -> None:
    x, weight = torch.randn(16, 7).t(), torch.randn(16, 5).t()
    expected = x.double().numpy() @ weight.double().numpy().T
    np.testing.assert_allclose(linear.product(x, weight), expected, rtol=1e-5, atol=1e-5)


def test_other_dtypes_are_preserved() -> None:
    x, weight = torch.randn(3, 8).bfloat16(), torch.randn(4, 8).bfloat16()
    assert linear.product(x, weight).dtype == torch.bfloat16


def test_fast_layers_compute_the_same_and_are_restored() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    x, seen = torch.randn(4, 8), list[Tensor]()
    expected = model(x)
    model[2].register_forward_pre_hook(lambda _layer, arguments: seen.append(arguments[0]))
    with torch.no_grad(), linear.fast_linears(model), linear.fast_linears(model[0]):
        torch.testing.assert_close(model(x), expected)
    assert len(seen) == 1
    assert all("forward" not in vars(layer) for layer in model)


def test_layers_are_restored_after_a_failure() -> None:
    model = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(ZeroDivisionError), linear.fast_linears(model):
        raise ZeroDivisionError
    assert "forward" not in vars(model[0])
