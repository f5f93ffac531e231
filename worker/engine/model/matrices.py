"""The prunable matrices of a decoder block: where each lies in its parameter, and which way round.

Whatever holds the weights, a matrix is seen as (out, in), as a view of the parameter: nothing is copied to read it.

    nn.Linear            the parameter itself
    Conv1D (GPT-2)       (in, out): transposed
    experts in a stack   (experts, out, in) or (experts, in, out), or the same with the first two axes flattened
    grouped linear       (groups · out, in): one matrix per group, as every group has inputs of its own

Routers choose experts and are never pruned, nor are embeddings, norms, convolutions and state-space parameters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from worker.engine.checkpoint.weight_mapping import Filling

_ROUTERS = {"gate", "router", "shared_expert_gate"}
_ROUTER_CLASS = re.compile("Router|TopKGating")
# Attention to an encoder, which a decoder on its own does not have: it is never computed
_ADAPTERS = re.compile(r"(^|\.)\w*adapter_list\.")  # Zamba 2: small, and kept in another block than the one that uses them
_UNUSED = re.compile(r"(^|\.)(encoder_attn|cross_attn|crossattention)(\.|_)")
# Stacks of experts whose class does not say how its matrices lie: the attribute with their number (none: the first axis
# is the number), and which parameters are (in, out)
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

    name: str  # of its tensor in the checkpoint, or its parameter's name with the slice in brackets
    shape: tuple[int, int]  # (out, in)
    parameter: str  # the parameter's path in the block
    full_name: str  # the parameter's name in the model
    filling: Filling
    index: int | None = None  # which slice, where the parameter is a stack
    slices: int = 1
    is_transposed: bool = False
    experts: str | None = None  # path of the mixture it is an expert of: its inputs are what a router sends it

    def view(self, parameter: Tensor) -> Tensor:
        """The part of a tensor of the parameter's shape that is this matrix, as a view (out, in)."""
        if self.index is not None:
            parameter = parameter.view(self.slices, -1, parameter.shape[-1])[self.index]
        return parameter.t() if self.is_transposed else parameter

    def read(self, block_module: nn.Module) -> Tensor:
        """The weights (out, in) in the loaded type, a view of the loaded block's parameter."""
        return self.view(block_module.get_parameter(self.parameter))

    def write(self, block_module: nn.Module, weight: Tensor) -> None:
        """Put weights (out, in) into the loaded block."""
        self.read(block_module).copy_(weight)


def find_matrices(block: str, layer: nn.Module, fillings: Mapping[str, Filling]) -> tuple[Matrix, ...]:
    """The matrices of the decoder layer called `block`, in the order of its modules, as far as the checkpoint has them."""
    found: list[Matrix] = []
    routers = [path for path, module in layer.named_modules() if _is_router(path, module)]
    for path, module in layer.named_modules():
        if any(f"{path}.".startswith(f"{router}.") for router in routers):
            continue
        for key, parameter in module.named_parameters(recurse=False):
            place = f"{path}.{key}" if path else key
            filling = fillings.get(f"{block}.{place}")
            if filling is not None and not _UNUSED.search(place) and not _ADAPTERS.search(place):
                found += _matrices_of(block, place, module, parameter, filling)
    return tuple(found)


def is_counted(parameter: str) -> bool:
    """Whether a parameter of a block counts as one of the decoder's: what is never computed does not."""
    return not _UNUSED.search(parameter)


def _is_router(path: str, module: nn.Module) -> bool:
    return path.rpartition(".")[2] in _ROUTERS or _ROUTER_CLASS.search(type(module).__name__) is not None


def _matrices_of(block: str, place: str, module: nn.Module, parameter: Tensor, filling: Filling) -> Iterator[Matrix]:
    """The matrices that one parameter holds."""
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
    """Of a parameter that stacks matrices: how many there are, how many are used, whether they are (in, out)."""
    if isinstance(module, nn.Linear):
        groups = int(module.n_groups)  # type: ignore[arg-type]
        return (groups, groups, False) if key == "weight" else None
    kind = type(module).__name__
    if kind in _STACKS:
        attribute, transposed = _STACKS[kind]
        used = parameter.shape[0] if attribute is None else int(getattr(module, attribute))
        return (parameter.shape[0] if parameter.ndim == 3 else used), used, key in transposed
    is_transposed = getattr(module, "is_transposed", None)  # what transformers itself notes on experts
    if parameter.ndim == 3 and isinstance(is_transposed, bool):
        return parameter.shape[0], parameter.shape[0], is_transposed
    return None


def _mixture(place: str) -> str:
    """The path of what holds the experts' module: it may keep the two matrices of an expert in modules of their own."""
    return place.rpartition(".")[0].rpartition(".")[0]
