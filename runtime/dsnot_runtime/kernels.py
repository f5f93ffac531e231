"""Products and conversions of sparse matrices: C kernels in the fastest variant that the processor runs, else PyTorch operations.

`DSNOT_RUNTIME_KERNELS` selects another variant by its name.
"""

import ctypes
import os
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dsnot_runtime import library, portable
from dsnot_runtime.portable import PADDING

__all__ = ["PADDING", "features", "has_tiles", "matmul", "pack", "quantize", "supported", "unpack", "use", "variant"]

_VARIABLE = "DSNOT_RUNTIME_KERNELS"
_CODES = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2, torch.int8: 3}
_DENSE = {torch.bfloat16: 0, torch.float16: 1, torch.float32: 2}
_ONE_THREAD = 1 << 16
"""Elements of a matrix, kept or not, up to which one thread is faster than several."""


@dataclass(frozen=True)
class _Kernels:
    """Kernels in use; without a library, PyTorch operations."""

    name: str
    library: ctypes.CDLL | None = None
    index: int = 0
    threads: str = ""
    reason: str = ""
    has_tiles: bool = False


_TORCH = "torch"
_active: _Kernels | None = None


def variant() -> str:
    """Return the name of the kernels in use."""
    return _kernels().name


def features() -> dict[str, str]:
    """Return the variant, why it was chosen, and the OpenMP runtime that splits rows over threads."""
    active = _kernels()
    return {"variant": active.name, "why": active.reason, "threads": active.threads or "one thread"}


def has_tiles(dtype: torch.dtype) -> bool:
    """Tell whether `matmul` is faster than a dense product for any number of input rows of this type."""
    active = _kernels()
    return active.has_tiles and dtype == torch.bfloat16


def supported() -> list[str]:
    """Return the names of the variants that this processor runs, the fastest first."""
    return list(_available())


def use(name: str) -> None:
    """Choose a variant by its name, for this process."""
    global _active
    available = _available()
    if name not in available:
        raise ValueError(f"Kernels {name!r} are unknown or not supported here; choose one of {', '.join(available)}.")
    _active = replace(available[name], reason="chosen by the program")


def pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return bits, values and starts of a dense matrix [R, K]; zeros of either sign are not kept."""
    _check(weight.ndim == 2 and weight.dtype in _DENSE, "The weight must be a matrix of bfloat16, float16 or float32 numbers.")
    _check_memory(weight)
    active = _kernels()
    if active.library is None:
        return portable.pack(weight)
    rows, columns = weight.shape
    bits = torch.empty(rows, (columns + 63) // 64, dtype=torch.int64)
    starts = torch.empty(rows + 1, dtype=torch.int64)
    common = (
        *(active.index, _threads(rows * columns), weight.data_ptr(), rows, columns, _DENSE[weight.dtype]),
        *(bits.data_ptr(), starts.data_ptr()),
    )
    kept = active.library.kernels_mask(*common)
    values = torch.empty(kept + PADDING, dtype=weight.dtype)
    values[kept:] = 0
    active.library.kernels_pack(*common, values.data_ptr())
    return bits, values, starts


def unpack(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, out: Tensor, first: int = 0) -> None:
    """Write rows `first` to `first + len(out)` of a sparse matrix to a dense `out`."""
    rows, columns = out.shape
    _check_matrix(bits, values, starts, scales, columns, out.dtype)
    _check(0 <= first <= len(bits) - rows, f"Rows {first} to {first + rows} are not within the {len(bits)} rows of the matrix.")
    _check_memory(bits, values, starts, out)
    active = _kernels()
    if active.library is None:
        portable.unpack(bits, values, starts, scales, out, first)
        return
    active.library.kernels_unpack(
        active.index,
        _threads(rows * columns),
        bits.data_ptr() + first * bits.shape[1] * 8,
        values.data_ptr(),
        starts.data_ptr() + first * 8,
        None if scales is None else scales.data_ptr() + first * 4,
        out.data_ptr(),
        rows,
        columns,
        _CODES[values.dtype],
        _DENSE[out.dtype],
    )


def matmul(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, inputs: Tensor, out: Tensor) -> None:
    """Write the products of `inputs` [N, K] with a sparse matrix to `out` [N, R].

    Sums are in float32. With the C kernels they do not depend on the number of threads, nor on N, except that with
    AMX those of more than three bfloat16 rows are added in another order than those of fewer.
    """
    number, columns = inputs.shape
    rows = len(bits)
    _check_matrix(bits, values, starts, scales, columns, inputs.dtype)
    if out.shape != (number, rows) or out.dtype != inputs.dtype:
        raise ValueError(f"The output must have shape [{number}, {rows}] and the type of the inputs, {inputs.dtype}.")
    _check_memory(bits, values, starts, inputs, out)
    active = _kernels()
    if active.library is None:
        portable.matmul(bits, values, starts, scales, inputs, out)
        return
    failed = active.library.kernels_matmul(
        active.index,
        _threads(rows * columns),
        bits.data_ptr(),
        values.data_ptr(),
        starts.data_ptr(),
        None if scales is None else scales.data_ptr(),
        inputs.data_ptr(),
        out.data_ptr(),
        rows,
        columns,
        number,
        _CODES[values.dtype],
        _DENSE[out.dtype],
    )
    if failed:
        raise MemoryError(f"There is no memory for a copy of {number} x {columns} inputs.")


def quantize(values: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 values with their padding, and the scale of each row: its largest magnitude / 127."""
    _check(values.dtype in _DENSE, "The values must be bfloat16, float16 or float32 numbers.")
    _check_memory(values, starts)
    active = _kernels()
    if active.library is None:
        return portable.quantize(values, starts)
    rows, kept = len(starts) - 1, len(values) - PADDING
    quantized = torch.empty(kept + PADDING, dtype=torch.int8)
    quantized[kept:] = 0
    scales = torch.empty(rows, dtype=torch.float32)
    active.library.kernels_quantize(
        active.index,
        _threads(kept),
        values.data_ptr(),
        starts.data_ptr(),
        rows,
        _DENSE[values.dtype],
        quantized.data_ptr(),
        scales.data_ptr(),
    )
    return quantized, scales


def _threads(elements: int) -> int:
    return 1 if elements <= _ONE_THREAD else torch.get_num_threads()


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_memory(*tensors: Tensor) -> None:
    for tensor in tensors:
        if not (tensor.is_cpu and tensor.is_contiguous()):
            raise ValueError(f"A tensor of shape {list(tensor.shape)} must be contiguous and on the CPU.")


def _check_matrix(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, columns: int, dense: torch.dtype) -> None:
    """Raise unless the parts of a sparse matrix fit each other and a dense type."""
    rows = len(bits)
    if bits.shape != (rows, (columns + 63) // 64) or bits.dtype != torch.int64:
        raise ValueError(f"The bits of {columns} columns must be int64 numbers [R, {(columns + 63) // 64}].")
    if starts.shape != (rows + 1,) or starts.dtype != torch.int64:
        raise ValueError(f"The starts of {rows} rows must be {rows + 1} int64 numbers.")
    if dense not in _DENSE or values.dtype not in (dense, torch.int8):
        raise ValueError(f"Values of type {values.dtype} do not fit {dense}; they must have its type or be int8.")
    if (scales is None) != (values.dtype != torch.int8):
        raise ValueError("The scales must be given with int8 values, and with no others.")
    if scales is not None and not (scales.shape == (rows,) and scales.dtype == torch.float32 and scales.is_contiguous()):
        raise ValueError(f"The scales of {rows} rows must be {rows} float32 numbers.")


def _kernels() -> _Kernels:
    global _active
    if _active is None:
        _active = _choose()
    return _active


def _choose() -> _Kernels:
    """Return the kernels that the environment names, else the fastest; warn without a library."""
    available = _available()
    name = os.environ.get(_VARIABLE)
    if name:
        if name not in available:
            raise ValueError(f"{_VARIABLE}={name} is unknown or not supported here; choose one of {', '.join(available)}.")
        return replace(available[name], reason=f"chosen by {_VARIABLE}")
    fastest = next(iter(available.values()))
    if fastest.name != _TORCH:
        return replace(fastest, reason="the fastest that this processor runs")
    warnings.warn(
        "The kernels of dsnot-runtime were not built, so sparse models are slow: "
        "install a C compiler or the package ziglang, then reinstall dsnot-runtime.",
        stacklevel=3,
    )
    return replace(fastest, reason="no kernels were built")


def _available() -> dict[str, _Kernels]:
    """Return the variants that this processor runs, the fastest first."""
    loaded = library.load()
    available = {}
    if loaded:
        functions, threads = loaded
        index = 0
        while (name := functions.kernels_name(index)) is not None:
            if functions.kernels_supported(index):
                has_tiles = bool(functions.kernels_tiles(index))
                available[name.decode()] = _Kernels(name.decode(), functions, index, threads, has_tiles=has_tiles)
            index += 1
    return available | {_TORCH: _Kernels(_TORCH)}
