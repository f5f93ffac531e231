"""Products of activations with sparse matrices, as operators of PyTorch that `torch.compile` can trace.

Axes: N rows of activations, K inputs, R outputs. The arguments `bits`, `values`, `starts` and `scales` are those of `kernels`.
"""

import threading
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from dsnot_runtime import kernels

FEW_ROWS: Final = 8
"""Rows of activations up to which kernels read the sparse matrix; beyond, unpacking it once is faster."""
FEW_ROWS_BY_TILES: Final = 288
"""The same on processors with AMX, for bfloat16."""
_local: Final = threading.local()
"""Buffers of this thread, by type: each as large as the largest matrix."""

_SPARSE: Final = "Tensor bits, Tensor values, Tensor starts, Tensor? scales"
torch.library.define("dsnot_runtime::linear", f"(Tensor x, {_SPARSE}, Tensor? bias) -> Tensor")
torch.library.define("dsnot_runtime::dense", f"({_SPARSE}, int columns, ScalarType dtype) -> Tensor")
_operators: Final = torch.ops.dsnot_runtime


def linear(x: Tensor, bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, bias: Tensor | None = None) -> Tensor:
    """Return `x @ W.T + bias` [..., R] for `x` [..., K] and a sparse W [R, K], in the type of `x`; sums are in float32."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _Linear.apply(x, bits, values, starts, scales, bias)  # type: ignore[no-any-return, no-untyped-call]
    if type(x) is Tensor and not torch.compiler.is_compiling():
        return _linear(x, bits, values, starts, scales, bias)  # saves the operator's dispatch
    return _operators.linear(x, bits, values, starts, scales, bias)  # type: ignore[no-any-return]


def dense(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, columns: int, dtype: torch.dtype) -> Tensor:
    """Return a sparse matrix as a dense one [R, K] of type `dtype`."""
    return _operators.dense(bits, values, starts, scales, columns, dtype)  # type: ignore[no-any-return]


class _Linear(torch.autograd.Function):
    """The product with a gradient for the activations; sparse matrices are not trained."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(bits, values, starts, scales)
        ctx.columns, ctx.has_bias = x.shape[-1], bias is not None
        return _operators.linear(x, bits, values, starts, scales, bias)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        bits, values, starts, scales = ctx.saved_tensors
        weight = dense(bits, values, starts, scales, ctx.columns, gradient.dtype)
        of_bias = gradient.flatten(0, -2).sum(0) if ctx.has_bias and ctx.needs_input_grad[5] else None
        return gradient @ weight, None, None, None, None, of_bias


def _linear(x: Tensor, bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, bias: Tensor | None) -> Tensor:
    rows, columns = bits.shape[0], x.shape[-1]
    flat = x.reshape(-1, columns).contiguous()
    if flat.shape[0] <= (FEW_ROWS_BY_TILES if kernels.has_tiles(x.dtype) else FEW_ROWS):
        out = torch.empty(flat.shape[0], rows, dtype=x.dtype)
        kernels.matmul(bits, values, starts, scales, flat, out)
        if bias is not None:
            out += bias
    else:
        weight = _scratch(rows, columns, x.dtype)
        kernels.unpack(bits, values, starts, scales, weight)
        out = functional.linear(flat, weight, bias)
    return out.view(*x.shape[:-1], rows)


def _scratch(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Return this thread's buffer for an unpacked matrix; a new one for every product would cost its page faults."""
    buffers: dict[Any, Tensor] = _local.__dict__
    if (buffer := buffers.get(dtype)) is None or buffer.numel() < rows * columns:
        buffer = buffers[dtype] = torch.empty(rows * columns, dtype=dtype)
    return buffer[: rows * columns].view(rows, columns)


def _linear_shape(x: Tensor, bits: Tensor, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], bits.shape[0])


def _dense(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, columns: int, dtype: torch.dtype) -> Tensor:
    out = bits.new_empty(len(bits), columns, dtype=values.dtype if scales is None else dtype)
    kernels.unpack(bits, values, starts, scales, out)
    return out.to(dtype)


def _dense_shape(
    bits: Tensor, _values: Tensor, _starts: Tensor, _scales: Tensor | None, columns: int, dtype: torch.dtype
) -> Tensor:
    return bits.new_empty(bits.shape[0], columns, dtype=dtype)


torch.library.impl("dsnot_runtime::linear", "CPU", _linear)
torch.library.impl("dsnot_runtime::dense", "CPU", _dense)
torch.library.register_fake("dsnot_runtime::linear", _linear_shape)
torch.library.register_fake("dsnot_runtime::dense", _dense_shape)
