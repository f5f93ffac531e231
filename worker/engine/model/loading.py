"""Loading of parts of a meta-device model from its checkpoint, and unloading: one block in memory at a time.

Parts:  a block          everything below one decoder layer
        the surroundings everything else that a forward pass needs (embeddings, rotary tables, last norm, head)
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.linear import fast_linears
from worker.engine.model.structure import Architecture, Block


def choose_device(device: str) -> torch.device:
    """Return the named device; for "auto" the GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def compute_dtype(model: Any) -> torch.dtype:
    """Return the compute dtype, the same on every device: the model's own, but float32 for float16.

    Activations of some families overflow in float16, and masks would depend on the device.
    """
    dtype: torch.dtype = model.dtype
    return torch.float32 if dtype is torch.float16 else dtype


@contextmanager
def loaded_block(
    arch: Architecture, block: Block, device: torch.device, weights: Checkpoint | None = None
) -> Iterator[nn.Module]:
    """Load the block's weights to the device, from `weights` or else the source; on exit move it back to meta."""
    try:
        parts = [(f"{block.name}.{path}".rstrip("."), part) for path, part in block.module.named_modules()]
        _fill(arch, parts, _Reader(arch, weights or arch.checkpoint, device))
        with fast_linears(block.module), torch.no_grad():
            yield block.module
    finally:
        block.module.to("meta")


@contextmanager
def loaded_non_block_weights(arch: Architecture, module: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Load the weights of `module` (the model, or its part below the head) that a text passes outside the blocks.

    On exit the module is moved to meta.
    """
    with _removed(arch.model, arch.encoders, _Absent(device, compute_dtype(arch.model))):
        own_parts = {id(part) for part in module.modules()} - {id(part) for part in arch.layers.modules()}
        try:
            parts = [(name, part) for name, part in arch.model.named_modules() if id(part) in own_parts]
            _fill(arch, parts, _Reader(arch, arch.checkpoint, device))
            with fast_linears(module), torch.no_grad():
                yield module
        finally:
            module.to("meta")


class _Absent(nn.Module):
    """Replacement of an encoder that is not loaded: no parameters on the meta device, from which a model takes its own."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.device, self.dtype = device, dtype


@contextmanager
def _removed(model: nn.Module, parts: Mapping[str, nn.Module], absent: nn.Module) -> Iterator[None]:
    """Replace parts of the model, by path, inside the context."""
    places = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], part) for name, part in parts.items()]
    try:
        for parent, key, _ in places:
            parent._modules[key] = absent
        yield
    finally:
        for parent, key, part in places:
            parent._modules[key] = part


def _fill(arch: Architecture, parts: list[tuple[str, nn.Module]], reader: "_Reader") -> None:
    """Load the parameters and buffers of modules, named as in the model. Tied parameters share one tensor."""
    filled: dict[str, nn.Parameter] = {}
    for prefix, part in parts:
        _compute_buffers(arch, prefix, part, reader.device)
        for key, parameter in part._parameters.items():
            if parameter is None:
                continue
            name = f"{prefix}.{key}" if prefix else key
            name = arch.tied.get(name, name)
            if name not in arch.fillings:
                raise ArchitectureUnsupported(f"The checkpoint has no tensor for {name} of {type(part).__name__}.")
            if name not in filled:
                filled[name] = nn.Parameter(reader.read(name, parameter.dtype), requires_grad=False)
                filled[name]._is_hf_initialized = True  # type: ignore[attr-defined]
            part._parameters[key] = filled[name]
        for key, buffer in part._buffers.items():
            name = f"{prefix}.{key}" if prefix else key
            if buffer is not None and name in arch.fillings:
                part._buffers[key] = reader.read(name, buffer.dtype)


class _Reader:
    """Reader of parameters; those of one `WeightMapping` are read together and returned one by one."""

    def __init__(self, arch: Architecture, checkpoint: Checkpoint, device: torch.device) -> None:
        self.device = device
        self._arch = arch
        self._checkpoint = checkpoint
        self._dtype = compute_dtype(arch.model)
        self._kept = [(re.compile(name), dtype) for name, dtype in arch.model._get_dtype_plan(self._dtype).items()]
        self._waiting: dict[str, Tensor] = {}

    def read(self, parameter: str, own_dtype: torch.dtype) -> Tensor:
        """Return a parameter or buffer on the device in the compute dtype, given its dtype in the meta model."""
        if parameter not in self._waiting:
            filling = self._arch.fillings[parameter]
            tensors = [self._checkpoint.read(name) for name in filling.tensors]
            self._waiting |= filling.forwards([self._cast(tensor, parameter, own_dtype) for tensor in tensors])
        return self._waiting.pop(parameter)

    def _cast(self, tensor: Tensor, parameter: str, own_dtype: torch.dtype) -> Tensor:
        """Cast to the compute dtype, except parameters that transformers always keeps in float32."""
        if not tensor.is_floating_point():
            return tensor.to(self.device)
        dtype = next((dtype for name, dtype in self._kept if name.search(parameter)), self._dtype)
        dtype = torch.float32 if own_dtype is torch.float32 else dtype
        return tensor.to(self.device, dtype)


def _compute_buffers(arch: Architecture, name: str, part: nn.Module, device: torch.device) -> None:
    """Compute buffers that no checkpoint holds, such as rotary frequencies, by the model's own initialisation.

    Mostly that of the module itself, else of an ancestor. Loaded parameters are marked, so that it leaves them unchanged.
    """
    empty = {key: torch.empty_like(buffer, device="cpu") for key, buffer in part._buffers.items() if buffer is not None}
    if not empty:
        return
    for buffer in empty.values():
        if buffer.is_floating_point():
            buffer.fill_(torch.nan)
    part._buffers.update(empty)
    _initialiser(arch.model, name)(part)
    while name and any(buffer.isnan().any() for buffer in empty.values()):
        name = name.rpartition(".")[0]
        _initialiser(arch.model, name)(arch.model.get_submodule(name))
    part._buffers.update({key: buffer.to(device) for key, buffer in empty.items()})


def _initialiser(model: Any, name: str) -> Callable[[nn.Module], None]:
    """Return the initialiser of the module called `name`: `_init_weights` of the innermost enclosing model that has it."""
    around = [""] + [name[:end] for end in range(1, len(name) + 1) if name[end : end + 1] in {".", ""}]
    found: list[Callable[[nn.Module], None]] = [
        part._init_weights for part in map(model.get_submodule, around) if hasattr(part, "_init_weights")
    ]
    return found[-1]
