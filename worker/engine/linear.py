"""Linear product x Wᵀ by the fastest float32 routine of the processor.

Axes: x (..., in), W (out, in), bias (out,), result (..., out).

PyTorch sends float32 products on a CPU to MKL, which is several times slower than oneDNN on the processors measured
(about 80 against 410 GFLOP/s), although both sum in float32. oneDNN is called through a private operator of
PyTorch, used only in this module; where it is missing, `functional.linear` is used.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + bias, (..., out) in the type of x, from x (..., in) and W (out, in)."""
    operator = _onednn() if x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 else None
    if operator is None or x.numel() == 0:
        return functional.linear(x, weight, bias)
    return operator(x, weight, bias)


def float32_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ, (rows, out) float32, from x (rows, in) and W (out, in), both float32 or both bfloat16 on CUDA.

    There, bfloat16 factors use the tensor cores, which float32 factors do not. Products of two 8-bit significands are exact
    in float32, and the sums are float32, so only the order of the summands differs from a float32 product.
    """
    if x.dtype == torch.bfloat16:
        return torch.mm(x, weight.t(), out_dtype=torch.float32)
    return product(x, weight)


@contextmanager
def fast_linears(module: nn.Module) -> Iterator[None]:
    """Make every `nn.Linear` inside `module` compute through `product` in this context; hooks still run. May be nested."""
    linears = [layer for layer in module.modules() if type(layer) is nn.Linear and "forward" not in vars(layer)]
    for layer in linears:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in linears:
            del layer.forward


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    return product(x, layer.weight, layer.bias)


@cache
def _onednn() -> Callable[[Tensor, Tensor, Tensor | None], Tensor] | None:
    """Return the oneDNN product, or None if it is missing or differs from `functional.linear` on a small test case."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    x, weight = torch.ones(3, 4), torch.arange(8.0).reshape(2, 4)
    try:
        agrees = torch.equal(_call_onednn(x, weight, None), functional.linear(x, weight))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return _call_onednn if agrees else None


def _call_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result
