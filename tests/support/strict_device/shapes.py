"""Operators on device tensors with shapes and no numbers, which PyTorch's meta device computes.

The host reads true from `all` and conjunctions, else false or zero. Results whose size depends on numbers have the least size. So
code that does not depend on the numbers takes its usual way, at sizes that no CPU could compute.
"""

from typing import Any

import torch
from torch import Tensor

from tests.support.strict_device.rules import INDEXED
from tests.support.strict_device.tensors import DeviceTensor, replaced

META = torch.device("meta")
_TRUE = frozenset({"all", "bitwise_and", "__and__"})


def compute(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator on the hidden tensors, of which those of the host are made meta tensors."""
    args, kwargs = replaced((args, kwargs), lambda each: each.to(META) if each.dim() else each)
    if name == "bincount":
        return torch.zeros(kwargs.get("minlength", args[2] if len(args) > 2 else 0), dtype=torch.int64, device=META)
    if name == "nonzero":
        return torch.zeros((0, args[0].dim()), dtype=torch.int64, device=META)
    if name in INDEXED:
        args = (args[0], [chosen for index in args[1] for chosen in _without_masks(index)], *args[2:])
    if name == "scaled_dot_product_attention":  # in the layout of CUDA's kernels, which PyTorch's composition does not have
        samples, heads, length, _ = args[0].shape
        return args[0].new_empty(samples, length, heads, args[2].shape[-1]).transpose(1, 2)
    return func(*args, **kwargs)


def _without_masks(index: Tensor | None) -> list[Tensor | None]:
    """Return the index itself, or in place of a mask indices of no element for all of its axes."""
    if index is None or index.dtype is not torch.bool:
        return [index]
    return [torch.zeros(0, dtype=torch.int64, device=META)] * index.dim()


def read(value: DeviceTensor) -> bool | int | float:
    """Return the number that the host reads of a tensor of one element."""
    if value.dtype is torch.bool:
        return value.made_by in _TRUE
    return 0.0 if value.is_floating_point() else 0
