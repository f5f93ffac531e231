"""Sparse weights as tensors: layers of any model use them like dense ones.

Products run on the kept values; every other operation sees the dense weight, which is unpacked for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from dsnot_runtime import kernels, products
from dsnot_runtime.errors import ReadOnly

Values = Literal["stored", "int8"]

_READ_ONLY: Final = "Sparse weights cannot be changed in place; change the dense checkpoint and load it again."
_PARTS: Final = ("bits", "kept", "starts", "scales")


class SparseWeight(Tensor):
    """Sparse matrix [R, K], or a stack of them [E, R, K], of R outputs and K inputs; not trainable.

    Attributes:
        bits: int64 [E · R, ⌈K / 64⌉]; bit i of word w tells whether column 64 w + i is kept.
        kept: kept values row by row, then padding; bfloat16, float16, float32 or int8.
        starts: int64 [E · R + 1]; index of each row's first value.
        scales: float32 [E · R] for int8 values, else None; a weight is value × scale.
        is_transposed: the shape is [K, R] or [E, K, R], as in Conv1D.
        inputs, number_type: K of a single matrix, else None, and the dtype; to read them of a tensor takes microseconds.
    """

    bits: Tensor
    kept: Tensor
    starts: Tensor
    scales: Tensor | None
    is_transposed: bool
    inputs: int | None
    number_type: torch.dtype

    @staticmethod
    def __new__(
        cls,
        bits: Tensor,
        kept: Tensor,
        starts: Tensor,
        scales: Tensor | None,
        shape: Sequence[int],
        dtype: torch.dtype,
        is_transposed: bool = False,
    ) -> "SparseWeight":
        """`shape` and `dtype` are those of the dense weight."""
        weight: SparseWeight = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=bits.device)
        weight.bits, weight.kept, weight.starts, weight.scales = bits, kept, starts, scales
        weight.is_transposed, weight.number_type = is_transposed, dtype
        weight.inputs = None if len(shape) != 2 else shape[0 if is_transposed else 1]
        return weight

    @classmethod
    def pack(cls, dense: Tensor, is_transposed: bool = False) -> "SparseWeight":
        """Return the sparse form of a dense weight."""
        matrices = dense.transpose(-1, -2) if is_transposed else dense
        bits, values, starts = kernels.pack(matrices.reshape(-1, matrices.shape[-1]).contiguous())
        return cls(bits, values, starts, None, dense.shape, dense.dtype, is_transposed)

    def with_values(self, values: Values) -> "SparseWeight":
        """Return the weight with values as stored, or rounded to 255 levels per output (`int8`)."""
        if values == "stored" or self.scales is not None:
            return self
        rounded, scales = kernels.quantize(self.kept, self.starts)
        return SparseWeight(self.bits, rounded, self.starts, scales, self.shape, self.dtype, self.is_transposed)

    @property
    def share_of_zeros(self) -> float:
        """Share of elements that are not kept."""
        return 1 - int(self.starts[-1] - self.starts[0]) / max(1, self.numel())

    @property
    def packed_bytes(self) -> int:
        """Bytes of the sparse form in memory."""
        return sum(part.nbytes for part in map(self.__dict__.get, _PARTS) if part is not None)

    def dense(self) -> Tensor:
        """Return the dense weight; zeros are positive, and int8 values are multiplied with their scale."""
        shape = self.shape if not self.is_transposed else (*self.shape[:-2], self.shape[-1], self.shape[-2])
        matrix = products.dense(self.bits, self.kept, self.starts, self.scales, shape[-1], self.dtype)
        return matrix.view(shape).transpose(-1, -2).contiguous() if self.is_transposed else matrix.view(shape)

    def __getitem__(self, index: Any) -> Tensor:
        """Return one matrix of a stack without unpacking it."""
        if index is Ellipsis:
            return self
        if self.dim() != 3 or not (isinstance(index, int) or (isinstance(index, Tensor) and index.numel() == 1)):
            return self.dense()[index]
        number, rows = int(index), len(self.bits) // len(self)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range for a stack of {len(self)} matrices")
        first = number % len(self) * rows
        matrix = slice(first, first + rows)
        scales = None if self.scales is None else self.scales[matrix]
        starts = self.starts[first : first + rows + 1]
        return SparseWeight(self.bits[matrix], self.kept, starts, scales, self.shape[1:], self.dtype, self.is_transposed)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"SparseWeight(shape={tuple(self.shape)}, dtype={self.dtype}, values={self.kept.dtype})"

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        parts = [name for name in _PARTS if getattr(self, name) is not None]
        return parts, (tuple(self.shape), self.dtype, self.is_transposed)

    def _stable_hash_for_caching(self) -> str:
        """Return what a compiled program depends on."""
        names, context = self.__tensor_flatten__()
        return f"{[(name, getattr(self, name).shape) for name in names]} {context}"

    @classmethod
    def __tensor_unflatten__(cls, parts: Mapping[str, Tensor], context: Any, *_: Any) -> "SparseWeight":
        return cls(*(parts.get(name) for name in _PARTS), *context)  # type: ignore[arg-type]

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if (product := _PRODUCTS.get(function)) is not None and (result := product(*args, **kwargs or {})) is not None:
            return result
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operator: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if (conversion := _CONVERSIONS.get(operator)) is not None:
            return conversion(*args, **kwargs or {})
        if operator._schema.is_mutable and args and isinstance(args[0], SparseWeight):
            raise ReadOnly(_READ_ONLY)
        args, kwargs = tree_map_only(SparseWeight, SparseWeight.dense, (args, kwargs or {}))
        return operator(*args, **kwargs)

    def _with(self, change: Callable[[Tensor], Tensor], dtype: torch.dtype | None = None) -> "SparseWeight":
        """Return a weight with changed parts, its values of the floating-point type `dtype`."""
        dtype = dtype or self.dtype
        kept = change(self.kept if self.scales is not None else self.kept.to(dtype))
        scales = None if self.scales is None else change(self.scales)
        return SparseWeight(change(self.bits), kept, change(self.starts), scales, self.shape, dtype, self.is_transposed)


def _matrix(x: Any, weight: Any, transposed: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None] | None:
    """Return the arguments of the product if it runs on kept values: on a CPU, in one type, with the right layout."""
    if (
        isinstance(weight, SparseWeight)
        and not isinstance(x, SparseWeight)
        and weight.is_transposed == transposed
        and x.dim() > 0
        and x.shape[-1] == weight.inputs
        and x.dtype == weight.number_type
        and x.is_cpu
        and not torch.is_autocast_enabled("cpu")
    ):
        return weight.bits, weight.kept, weight.starts, weight.scales
    return None


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    parts = _matrix(x, weight, transposed=False)
    return None if parts is None else products.linear(x, *parts, bias)


def _matmul(x: Tensor, weight: Tensor) -> Tensor | None:
    parts = _matrix(x, weight, transposed=True)
    return None if parts is None else products.linear(x, *parts)


def _addmm(bias: Tensor, x: Tensor, weight: Tensor, **scaling: Any) -> Tensor | None:
    parts = _matrix(x, weight, transposed=True)
    return None if parts is None or scaling or bias.dim() != 1 else products.linear(x, *parts, bias)


_PRODUCTS: Final[dict[Any, Callable[..., Tensor | None]]] = {
    functional.linear: _linear,
    torch.matmul: _matmul,
    torch.mm: _matmul,
    Tensor.matmul: _matmul,
    Tensor.__matmul__: _matmul,
    Tensor.mm: _matmul,
    torch.addmm: _addmm,
}


def _to_copy(weight: SparseWeight, *, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor:
    if dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
        return weight.dense().to(dtype)
    if device is not None and torch.device(device).type not in ("cpu", "meta"):
        return weight.dense().to(device, dtype)
    return weight._with(lambda part: part.to(device) if device is not None else part.clone(), dtype)


def _scaled(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return an in-place multiplication or division by a number, as some models do with their own weights."""

    def scale(weight: SparseWeight, number: Any) -> Tensor:
        if isinstance(number, Tensor) and number.numel() != 1:
            raise ReadOnly(_READ_ONLY)
        change(weight.kept if weight.scales is None else weight.scales, number)
        return weight

    return scale


_aten: Final = torch.ops.aten
_CONVERSIONS: Final[dict[Any, Callable[..., Tensor]]] = {
    _aten.detach.default: lambda weight: weight._with(Tensor.detach),
    _aten.alias.default: lambda weight: weight._with(lambda part: part),
    _aten.clone.default: lambda weight, **_: weight._with(Tensor.clone),
    _aten._to_copy.default: _to_copy,
    _aten.mul_.Tensor: _scaled(Tensor.mul_),
    _aten.div_.Tensor: _scaled(Tensor.div_),
}
