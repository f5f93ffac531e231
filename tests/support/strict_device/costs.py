"""Cost model of a GPU: kernels, bytes and FLOP of an operator, and the rates that turn them into seconds.

Nothing here is measured. The rates are round figures for an H100; launches per operator are PyTorch's usual number; sorting and
selecting count as one pass over their operands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.support.strict_device.tensors import tensors_in


@dataclass(frozen=True)
class Rates:
    """Seconds per event, bytes per second and FLOP per second."""

    launch: float = 5e-6
    """Seconds of the host per kernel."""
    wait: float = 10e-6
    """Seconds of the host per synchronisation, once the device has finished."""
    kernel: float = 2e-6
    """Least seconds of a kernel or copy on the device."""
    memory: float = 3e12
    pinned: float = 50e9
    pageable: float = 8e9
    host: float = 10e9
    """Bytes per second that an operator on the CPU reads and writes."""
    half: float = 790e12
    """FLOP per second of products in bfloat16 and float16."""
    single: float = 60e12
    double: float = 50e12
    factorisation: float = 0.2
    """Share of the FLOP per second that factorisations and triangular solutions reach."""

    def product(self, dtype: torch.dtype) -> float:
        """Return the FLOP per second of products of this type."""
        return {torch.float32: self.single, torch.float64: self.double}.get(dtype, self.half)


_LAUNCHES = {
    "masked_fill": 2,  # a copy, which is then filled; in place it is one
    "diagonal_scatter": 2,
    "sort": 3,
    "argsort": 3,
    "topk": 3,
    "nonzero": 3,
    "equal": 3,
    "bincount": 5,
    "cumsum": 2,
    "eye": 2,
    "linalg_solve_triangular": 8,
    "linalg_cholesky_ex": 8,
    "cholesky_inverse": 8,
    "cholesky_solve": 4,
    "_linalg_eigh": 40,
}
_CHOLESKY_COLUMNS = 64  # per further kernel
_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "dot"})
_CUBES = {"linalg_cholesky_ex": 1 / 3, "linalg_solve_triangular": 1.0, "cholesky_inverse": 4 / 3}  # FLOP / n³
_GATHERING = frozenset({"index", "index_select", "gather", "take", "embedding"})
_SCATTERING = frozenset({"index_put", "_index_put_impl", "scatter", "scatter_add", "index_copy", "index_add"})
_FILLING = frozenset({"fill", "zero", "arange", "eye", "full", "full_like", "ones", "zeros", "ones_like", "zeros_like"})


def launches_of(name: str, is_in_place: bool, operands: Sequence[Tensor]) -> int:
    """Return the number of kernels that an operator launches."""
    if name == "linalg_cholesky_ex":
        return _LAUNCHES[name] + operands[0].shape[-1] // _CHOLESKY_COLUMNS
    return 1 if name == "masked_fill" and is_in_place else _LAUNCHES.get(name, 1)


def bytes_of(name: str, is_in_place: bool, args: Any, kwargs: dict[str, Any], results: Sequence[Tensor]) -> int:
    """Return the bytes of device memory that an operator reads and writes; of gathered tensors those of the elements used."""
    operands = tensors_in((args, {key: value for key, value in kwargs.items() if key != "out"}))
    written = sum(map(touched, results))
    if name in _FILLING:
        return written
    if name in _GATHERING:
        return sum(map(touched, operands[1:])) + 2 * written
    if name in _SCATTERING and is_in_place:
        return 2 * sum(map(touched, operands[1:]))
    return sum(map(touched, operands)) + written


def touched(value: Tensor) -> int:
    """Return the bytes of a tensor in memory: an axis of stride 0 counts once."""
    sizes = zip(value.shape, value.stride(), strict=True)
    return value.element_size() * math.prod(size for size, stride in sizes if stride or not size)


def flop_of(name: str, operands: Sequence[Tensor], results: Sequence[Tensor]) -> float:
    """Return the FLOP of products, attention (causal, so half of the pairs) and factorisations; 0 for other operators."""
    if name in _PRODUCTS:
        return 2.0 * results[0].numel() * operands[-2].shape[-1]
    if name == "scaled_dot_product_attention":
        return 2.0 * operands[0].numel() * operands[1].shape[-2]
    if name == "convolution":
        return 2.0 * results[0].numel() * math.prod(operands[1].shape[1:])
    if name == "cholesky_solve":
        return 2.0 * operands[0].numel() * operands[1].shape[-1]
    if name in _CUBES:
        return _CUBES[name] * math.prod(operands[0].shape[:-2]) * operands[0].shape[-1] ** 3
    return 0.0


def rate_of(name: str, operands: Sequence[Tensor], rates: Rates) -> float:
    """Return the FLOP per second of an operator."""
    share = rates.factorisation if name in _CUBES or name == "cholesky_solve" else 1.0
    return share * rates.product(operands[0].dtype) if operands else rates.half
