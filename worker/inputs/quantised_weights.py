"""Values of weights stored as fp8 with scales, or as MXFP4, in bfloat16: exact products, rounded once.

fp8     NAME (…, out, in) float8, NAME_scale or NAME_scale_inv: one factor for all, per axis, or per block of the weight;
        DeepSeek's blocks of 128 x 128, ModelOpt, compressed-tensors float-quantized, transformers' finegrained fp8
MXFP4   NAME_blocks (experts, out, groups, 16) bytes, NAME_scales (experts, out, groups) exponents with the bias 127;
        the weight is (experts, in, out), 32 inputs to a group, the even ones in the low halves of the bytes (gpt-oss)
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.checkpoint.reader import Checkpoint, TensorLocation
from worker.inputs.gguf import ImportRefused

_FP8 = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}
_FACTORS = {"F64", "F32", "F16", "BF16", "F8_E8M0", "U8"}
_OF_ACTIVATIONS = re.compile(r"(\.|_proj_)((input|output|(input_)?activation)_scale|(q|k|v|kv)_scale)$")
_FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])
_GROUP = 32  # inputs that share a scale in MXFP4
_BIAS = 127  # of an exponent stored in a byte


@dataclass(frozen=True)
class Weight:
    """Weight and the tensors that it is stored in."""

    name: str
    shape: tuple[int, ...]
    tensors: tuple[str, ...]

    def read(self, checkpoint: Checkpoint, blocks: Sequence[int] | None) -> Tensor:
        """Return the weight in bfloat16; `blocks` is the size of a block of fp8 weights (rows, columns) by the config."""
        first, *others = (checkpoint.read(name) for name in self.tensors)
        if len(self.tensors) == 1:
            return first.float().bfloat16()
        if self.tensors[0] != self.name:
            return dequantise_mxfp4(first, others[0])
        return dequantise_fp8(first, others[0], blocks)


def find_weights(tensors: Mapping[str, TensorLocation], *, needs_scales: bool) -> dict[str, Weight]:
    """Return the quantised weights by the name of their first tensor; ImportRefused if one is in another format."""
    found = {}
    for name, place in tensors.items():
        stem = name.removesuffix("_blocks")
        if stem != name and place.stored_as == "U8" and f"{stem}_scales" in tensors:
            experts, rows, groups, _ = place.shape if len(place.shape) == 4 else (0, 0, 0, 0)
            if place.shape[3:] != (_GROUP // 2,) or tensors[f"{stem}_scales"].shape != place.shape[:3]:
                raise ImportRefused(f"{name} has the shape {place.shape}, which is not that of MXFP4 weights with its scales")
            found[name] = Weight(stem, (experts, groups * _GROUP, rows), (name, f"{stem}_scales"))
        elif place.stored_as in _FP8:
            scales = [scale for scale in (f"{name}_scale_inv", f"{name}_scale") if scale in tensors]
            if scales and tensors[scales[0]].stored_as not in _FACTORS:
                raise ImportRefused(f"{scales[0]} is stored as {tensors[scales[0]].stored_as}, which is no factor of fp8 weights")
            found[name] = Weight(name, place.shape, (name, *scales[:1]))
    bare = [weight.name for weight in found.values() if len(weight.tensors) == 1]
    if bare and (needs_scales or len(bare) < len(found)):
        raise ImportRefused(
            f"{bare[0]} is stored in fp8 without a scale, which other weights or the config have; download it again"
        )
    return found


def superfluous(names: Sequence[str], weights: Mapping[str, Weight]) -> set[str]:
    """Return the tensors that a dequantised checkpoint lacks: scales of weights, and of activations and cached keys."""
    scales = {tensor for weight in weights.values() for tensor in weight.tensors[1:]}
    return scales | {name for name in names if _OF_ACTIVATIONS.search(name)}


def dequantise_fp8(weight: Tensor, scale: Tensor, blocks: Sequence[int] | None) -> Tensor:
    """Return weight (…, rows, columns) x its scale in bfloat16. ImportRefused if the scale's shape does not fit the weight."""
    factors = _exponents(scale) if scale.dtype is torch.uint8 else scale.float()
    if factors.numel() == 1:
        return (weight.float() * factors.reshape(())).bfloat16()
    if factors.ndim < weight.ndim:  # one factor per row of a matrix, or per matrix of a stack
        if factors.shape != weight.shape[: factors.ndim]:
            raise _misfit(weight, scale)
        factors = factors.reshape(*factors.shape, *[1] * (weight.ndim - factors.ndim))
    sizes = [*[None] * (weight.ndim - 2), *(blocks or (None, None))] if weight.ndim >= 2 else [None]
    if factors.ndim != weight.ndim or len(sizes) != weight.ndim:
        raise _misfit(weight, scale)
    for axis, (length, count, size) in enumerate(zip(weight.shape, factors.shape, sizes, strict=True)):
        if count not in {1, length}:
            each = size if size and math.ceil(length / size) == count else length // count
            if math.ceil(length / each) != count:
                raise _misfit(weight, scale)
            factors = factors.repeat_interleave(each, dim=axis).narrow(axis, 0, length)
    return (weight.float() * factors).bfloat16()


def dequantise_mxfp4(blocks: Tensor, scales: Tensor) -> Tensor:
    """Return weights (experts, in, out) in bfloat16, from blocks (experts, out, groups, 16) and scales (experts, out, groups)."""
    values = torch.stack([_FP4[(blocks & 15).int()], _FP4[(blocks >> 4).int()]], dim=-1).flatten(-2)
    return torch.ldexp(values, (scales.int() - _BIAS)[..., None]).bfloat16().flatten(-2).transpose(1, 2).contiguous()


def _exponents(scale: Tensor) -> Tensor:
    return torch.ldexp(torch.ones(scale.shape), scale.int() - _BIAS)


def _misfit(weight: Tensor, scale: Tensor) -> ImportRefused:
    return ImportRefused(f"a scale of the shape {tuple(scale.shape)} does not fit a weight of the shape {tuple(weight.shape)}")
