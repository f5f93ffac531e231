"""Prunable matrices of a decoder block: the slice of the parameter and the orientation of each.

However the weights are stored, a matrix is a view (out, in) of the parameter: nothing is copied to read it.

    nn.Linear            the parameter itself
    Conv1D (GPT-2)       (in, out): transposed
    experts in a stack   (experts, out, in) or (experts, in, out), or the same with the first two axes flattened
    grouped linear       (groups · out, in): one matrix per group, because each group has its own inputs

Routers choose experts and are never pruned, nor are embeddings, norms, convolutions and state-space parameters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from worker.engine.checkpoint.weight_mapping import WeightMapping

_ROUTERS = {"gate", "router", "shared_expert_gate"}
_ROUTER_CLASS = re.compile("Router|TopKGating")
_OF_IMAGES = re.compile(r"(^|\.)vision_moe\.")  # experts that no text reaches
# Cross-attention to an encoder: never computed in a decoder-only model
_UNUSED = re.compile(r"(^|\.)(encoder_attn|cross_attn|crossattention)(\.|_)")
# Stacks of experts whose class does not declare their orientation: the attribute with the number of experts (None: the
# length of the first axis), and which parameters are (in, out)
_STACKS: dict[str, tuple[str | None, frozenset[str]]] = {
    "DbrxExpertGLU": ("moe_num_experts", frozenset({"w2"})),
    "InklingSharedExperts": (None, frozenset()),
    "JetMoeParallelExperts": (None, frozenset()),
    "Llama4TextExperts": (None, frozenset({"gate_up_proj", "down_proj"})),
    "LongcatFlashExperts": ("num_routed_experts", frozenset()),
}


@dataclass(frozen=True, eq=False)
class Matrix:
    """One prunable matrix of a block."""

    name: str  # tensor name in the checkpoint, or parameter name with the slice in brackets
    shape: tuple[int, int]  # (out, in)
    parameter: str  # the parameter's path in the block
    full_name: str  # the parameter's name in the model
    filling: WeightMapping
    index: int | None = None  # slice of a stacked parameter
    slices: int = 1
    is_transposed: bool = False
    experts: str | None = None  # path of the mixture if it is an expert, whose inputs are chosen by a router

    def view(self, parameter: Tensor) -> Tensor:
        """Return this matrix's part of a tensor of the parameter's shape, as a view (out, in)."""
        if self.index is not None:
            parameter = parameter.view(self.slices, -1, parameter.shape[-1])[self.index]
        return parameter.t() if self.is_transposed else parameter

    def read(self, block_module: nn.Module) -> Tensor:
        """Return the weights (out, in) in the loaded dtype, a view of the loaded block's parameter."""
        return self.view(block_module.get_parameter(self.parameter))

    def write(self, block_module: nn.Module, weight: Tensor) -> None:
        """Write weights (out, in) into the loaded block."""
        self.read(block_module).copy_(weight)


def find_matrices(block: str, layer: nn.Module, fillings: Mapping[str, WeightMapping]) -> tuple[Matrix, ...]:
    """Return the matrices of decoder layer `block` that the checkpoint holds, in the order of its modules."""
    found: list[Matrix] = []
    routers = [path for path, module in layer.named_modules() if _is_router(path, module)]
    for path, module in layer.named_modules():
        if any(f"{path}.".startswith(f"{router}.") for router in routers):
            continue
        for key, parameter in module.named_parameters(recurse=False):
            place = f"{path}.{key}" if path else key
            filling = fillings.get(f"{block}.{place}")
            if filling is not None and not _UNUSED.search(place) and not _OF_IMAGES.search(place):
                found += _matrices_of(block, place, module, parameter, filling)
    return tuple(found)


def is_counted(parameter: str) -> bool:
    """Return whether a block's parameter counts towards the decoder's size: unused ones do not."""
    return not _UNUSED.search(parameter)


def _is_router(path: str, module: nn.Module) -> bool:
    return path.rpartition(".")[2] in _ROUTERS or _ROUTER_CLASS.search(type(module).__name__) is not None


def _matrices_of(block: str, place: str, module: nn.Module, parameter: Tensor, filling: WeightMapping) -> Iterator[Matrix]:
    """Yield the matrices of one parameter."""
    full = f"{block}.{place}"
    key = place.rpartition(".")[2]
    if isinstance(module, nn.Linear | Conv1D) and not hasattr(module, "n_groups"):
        if key == "weight":
            is_transposed = isinstance(module, Conv1D)
            rows, width = reversed(parameter.shape) if is_transposed else parameter.shape
            name = filling.tensors[0] if filling.converter is None else full
            yield Matrix(name, (rows, width), place, full, filling, is_transposed=is_transposed)
        return
    stack = _stack(module, key, parameter)
    if stack is None:
        return
    slices, used, is_transposed = stack
    rows, width = parameter.numel() // slices // parameter.shape[-1], parameter.shape[-1]
    shape = (width, rows) if is_transposed else (rows, width)
    mixture = None if isinstance(module, nn.Linear) else _mixture(place)
    for index in range(used):
        name = filling.name_of_slice(index, slices, full)
        yield Matrix(name, shape, place, full, filling, index, slices, is_transposed, mixture)


def _stack(module: nn.Module, key: str, parameter: Tensor) -> tuple[int, int, bool] | None:
    """Return for a stacked parameter: number of matrices, number used, whether they are (in, out); else None."""
    if isinstance(module, nn.Linear):
        groups = int(module.n_groups)  # type: ignore[arg-type]
        return (groups, groups, False) if key == "weight" else None
    kind = type(module).__name__
    if kind in _STACKS:
        attribute, transposed = _STACKS[kind]
        used = parameter.shape[0] if attribute is None else int(getattr(module, attribute))
        return (parameter.shape[0] if parameter.ndim == 3 else used), used, key in transposed
    is_transposed = getattr(module, "is_transposed", None)  # set by transformers on experts
    if parameter.ndim == 3 and isinstance(is_transposed, bool):
        return parameter.shape[0], parameter.shape[0], is_transposed
    return None


def _mixture(place: str) -> str:
    """Return the path of the experts module's parent, because an expert's two matrices may be in separate modules."""
    return place.rpartition(".")[0].rpartition(".")[0]
