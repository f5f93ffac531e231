"""Sparse matrices with PyTorch operations alone; the reference of the C kernels and their fallback."""

from collections.abc import Iterator

import torch
from torch import Tensor

PADDING = 64
"""Zeros after the last value: kernels load whole vectors."""

_CHUNK = 1 << 20
"""Elements of a dense matrix that are processed at a time."""


def pack(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return bits, values and starts of a dense matrix [R, K]; zeros of either sign are not kept."""
    rows, columns = weight.shape
    counts = torch.zeros(rows + 1, dtype=torch.int64)
    bits = torch.zeros(rows, (columns + 63) // 64, dtype=torch.int64)
    by_byte = bits.view(torch.uint8)
    places = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)
    for part in _row_chunks(rows, columns):
        kept = torch.zeros(part.stop - part.start, by_byte.shape[1] * 8, dtype=torch.uint8)
        kept[:, :columns] = weight[part] != 0
        counts[part.start + 1 : part.stop + 1] = kept.sum(1, dtype=torch.int64)
        by_byte[part] = (kept.view(len(kept), by_byte.shape[1], 8) * places).sum(2, dtype=torch.uint8)
    starts = counts.cumsum(0)
    total = int(starts[-1])
    values = torch.zeros(total + PADDING, dtype=weight.dtype)
    for part in _row_chunks(rows, columns):
        values[starts[part.start] : starts[part.stop]] = weight[part][weight[part] != 0]
    return bits, values, starts


def unpack(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, out: Tensor, first: int = 0) -> None:
    """Write rows `first` to `first + len(out)` of a sparse matrix to a dense `out`."""
    columns = out.shape[1]
    for part in _row_chunks(len(out), columns):
        rows = slice(first + part.start, first + part.stop)
        dense = _dense_rows(bits, values, starts, rows, columns)
        out[part] = dense if scales is None else dense.float() * scales[rows, None]


def matmul(bits: Tensor, values: Tensor, starts: Tensor, scales: Tensor | None, inputs: Tensor, out: Tensor) -> None:
    """Write the products of `inputs` [N, K] with a sparse matrix to `out` [N, R]; sums are in float32."""
    columns = inputs.shape[1]
    wide = inputs.float()
    for rows in _row_chunks(len(bits), columns):
        products = wide @ _dense_rows(bits, values, starts, rows, columns).float().T
        out[:, rows] = products if scales is None else products * scales[rows]


def quantize(values: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 values with their padding, and the scale of each row: its largest magnitude / 127."""
    rows = len(starts) - 1
    total = int(starts[-1])
    quantized = torch.zeros(total + PADDING, dtype=torch.int8)
    scales = torch.zeros(rows, dtype=torch.float32)
    for part in _row_chunks(rows, max(1, total // max(1, rows))):
        kept = slice(int(starts[part.start]), int(starts[part.stop]))
        wide = values[kept].float()
        row = torch.arange(part.stop - part.start).repeat_interleave(starts[part.start : part.stop + 1].diff())
        scales[part] = scales[part].scatter_reduce(0, row, wide.abs(), "amax") / 127
        scale = scales[part][row]
        steps = torch.where(scale > 0, wide / scale, 0)
        quantized[kept] = steps.round().clamp(-127, 127).to(torch.int8)
    return quantized, scales


def _dense_rows(bits: Tensor, values: Tensor, starts: Tensor, rows: slice, columns: int) -> Tensor:
    """Return dense rows in the type of the values, without scales."""
    by_byte = bits[rows].view(torch.uint8)
    kept = (by_byte.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8)) & 1
    mask = kept.flatten(1)[:, :columns].bool()
    dense = torch.zeros(mask.shape, dtype=values.dtype)
    return dense.masked_scatter_(mask, values[starts[rows.start] : starts[rows.stop]])


def _row_chunks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the row ranges that are processed at a time."""
    step = max(1, _CHUNK // max(1, columns))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))
