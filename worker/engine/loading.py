"""Filling parts of a meta-device model from its checkpoint, and emptying them again: one block in memory at a time.

Parts:  a block          everything below one decoder layer
        the surroundings everything else that a forward pass needs (embeddings, rotary tables, last norm, head)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.architectures import Architecture, Block
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.linear import fast_linears


def choose_device(device: str) -> torch.device:
    """The device named, or for "auto" the GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def compute_dtype(model: Any, device: torch.device) -> torch.dtype:
    """The type to compute in: the model's own, but float32 for float16 on a CPU, which is slow there and less exact."""
    dtype: torch.dtype = model.dtype
    return torch.float32 if device.type == "cpu" and dtype is torch.float16 else dtype


@contextmanager
def loaded_block(arch: Architecture, block: Block, device: torch.device) -> Iterator[nn.Module]:
    """The block with its weights on the device; afterwards it is empty again."""
    try:
        _fill(arch, block.module, block.name, device)
        with fast_linears(block.module), torch.no_grad():
            yield block.module
    finally:
        block.module.to("meta")


@contextmanager
def loaded_surroundings(arch: Architecture, module: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """`module` (the model, or its part below the head) with all weights but those of the blocks."""
    wanted = {id(part) for part in module.modules()} - {id(part) for part in arch.layers.modules()}
    try:
        for name, part in arch.model.named_modules():
            if id(part) in wanted:
                _fill(arch, part, name, device, recurse=False)
        _tie(arch, wanted, device)
        with fast_linears(module), torch.no_grad():
            yield module
    finally:
        module.to("meta")


def _fill(arch: Architecture, module: nn.Module, name: str, device: torch.device, *, recurse: bool = True) -> None:
    """Give the parameters and buffers of `module`, which is called `name` in the model, their numbers."""
    dtype = compute_dtype(arch.model, device)
    for path, part in module.named_modules() if recurse else [("", module)]:
        prefix = ".".join(filter(None, (name, path)))
        _compute_buffers(arch, part, device)
        for key in part._parameters:
            if part._parameters[key] is None:
                continue
            full = f"{prefix}.{key}" if prefix else key
            if full in arch.sources:
                part._parameters[key] = nn.Parameter(_read(arch, full, device, dtype), requires_grad=False)
            elif not _is_tied(arch, full):
                raise ArchitectureUnsupported(f"The checkpoint has no tensor for {full} of {type(part).__name__}.")
        for key in part._buffers:
            full = f"{prefix}.{key}" if prefix else key
            if full in arch.sources:
                part._buffers[key] = _read(arch, full, device, dtype)


def _read(arch: Architecture, parameter: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    tensor = arch.checkpoint.read(arch.sources[parameter])
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _compute_buffers(arch: Architecture, part: nn.Module, device: torch.device) -> None:
    """Buffers that no checkpoint holds, such as rotary frequencies: the model's own initialisation computes them."""
    empty = {key: torch.empty_like(buffer, device="cpu") for key, buffer in part._buffers.items() if buffer is not None}
    if not empty:
        return
    part._buffers.update(empty)
    arch.model._init_weights(part)  # parameters are on the meta device still, so that this costs nothing
    part._buffers.update({key: buffer.to(device) for key, buffer in empty.items()})


def _is_tied(arch: Architecture, parameter: str) -> bool:
    tied = arch.model.all_tied_weights_keys
    return parameter in tied or parameter in tied.values()


def _tie(arch: Architecture, wanted: set[int], device: torch.device) -> None:
    """Let a tied parameter that the checkpoint leaves out be the one it is tied to, whichever of the two is there."""
    for target, source in arch.model.all_tied_weights_keys.items():
        missing, present = (source, target) if source not in arch.sources else (target, source)
        owner, _, key = missing.rpartition(".")
        part = arch.model.get_submodule(owner)
        if missing in arch.sources or id(part) not in wanted:
            continue
        if present not in arch.sources:
            raise ArchitectureUnsupported(f"The checkpoint has no tensor for {missing}, nor for {present} it is tied to.")
        tied = arch.model.get_parameter(present)
        if tied.is_meta:  # the part it is tied to is not wanted itself
            tied = nn.Parameter(_read(arch, present, device, compute_dtype(arch.model, device)), requires_grad=False)
        part._parameters[key] = tied
