"""Routing of all tokens of a mixture to one expert, whatever the router says.

Every parameter that is stacked per expert (weights and their biases) is temporarily replaced by the repeated slice of
that expert. The model's own code then runs unchanged: routing, activations, biases.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from worker.engine.activations.matmul_tracing import Place, place
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block


@contextmanager
def forced_expert(block: Block, mixture: str, expert: int) -> Iterator[dict[Place, str]]:
    """Replace all experts of the loaded block's mixture by this one inside the context. Yield the places of its matrices."""
    stacks = {m.parameter: m for m in block.matrices if m.experts == mixture and m.index == expert}
    originals: dict[str, nn.Parameter] = {}
    views: dict[Place, str] = {}
    try:
        for path, parameter in _per_expert(block.module, stacks):
            originals[path] = parameter
            slices = stacks[path].slices if path in stacks else len(parameter)
            repeated = _repeat(parameter, slices, expert)
            _put(block.module, path, nn.Parameter(repeated, requires_grad=False))
            if path in stacks:
                views |= {place(view): stacks[path].name for view in _views(block.module, stacks[path])}
        yield views
    finally:
        for path, parameter in originals.items():
            _put(block.module, path, parameter)


def _per_expert(layer: nn.Module, stacks: dict[str, Matrix]) -> list[tuple[str, nn.Parameter]]:
    """Return the stacked parameters and, in the same modules, those of the same length."""
    counts = {path.rpartition(".")[0]: matrix.slices for path, matrix in stacks.items()}
    found = []
    for path, parameter in layer.named_parameters():
        owner = path.rpartition(".")[0]
        if path in stacks or (owner in counts and len(parameter) == counts[owner]):
            found.append((path, parameter))
    return found


def _repeat(parameter: Tensor, slices: int, expert: int) -> Tensor:
    """Return the stack with every slice replaced by one expert's; a view, unless the stack is flattened into two axes."""
    stack = parameter.view(slices, -1, *parameter.shape[1:])[expert : expert + 1].expand(slices, *[-1] * parameter.ndim)
    return stack.reshape(parameter.shape) if len(parameter) != slices else stack.squeeze(1)


def _views(layer: nn.Module, matrix: Matrix) -> list[Tensor]:
    """Return the matrix's views (out, in), one per slice."""
    parameter = layer.get_parameter(matrix.parameter)
    stack = parameter.view(matrix.slices, -1, parameter.shape[-1]) if parameter.ndim == 2 else parameter
    return [part.t() if matrix.is_transposed else part for part in stack]


def _put(layer: nn.Module, path: str, parameter: nn.Parameter) -> None:
    owner, _, key = path.rpartition(".")
    layer.get_submodule(owner)._parameters[key] = parameter
