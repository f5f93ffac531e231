"""Partial forward passes of a block, which reuse cached inputs of matrices that are pruned already.

As the matrices of a block are pruned stage by stage, the block is run up to every stage. A product is final when its
matrix is pruned; its inputs were seen when its stage was measured. Where a final product is added to something, as to
the residual stream, its inputs are cached: later runs compute it from these and skip everything that only leads to them.

Skipped values are tensors on PyTorch's meta device, which propagate through the rest of the block. A block that needs
such a value after all, or writes it into a real tensor, cannot be run this way; so the first batch is run both partially
and in full, and partial passes are used only if all observed tensors are bit-identical.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from worker.engine.activations.batches import ForwardContext, Stream
from worker.engine.activations.matmul_tracing import Place, operands, place
from worker.engine.activations.store import ActivationStore
from worker.engine.linear import product
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Block


class PartialForward:
    """Cache of the final products' inputs of one block, and the partial forward passes that use it."""

    def __init__(self, block: Block, store: ActivationStore) -> None:
        """Begin with no matrix pruned; cached inputs are kept in `store`."""
        self._block = block
        self._store = store
        self._cached: dict[str, list[list[Tensor]]] = {}  # inputs by matrix name, [batch][call]
        self._pruned: list[Matrix] = []
        self._skippable: list[Matrix] = []
        self._unneeded: list[Matrix] = []  # of pruned stages; skippable after the next stage with cached inputs

    def cache_inputs(self, matrix: str, batch: int, x: Tensor) -> None:
        """Cache the inputs of a product that is added to something."""
        batches = self._cached.setdefault(matrix, [])
        batches += [[] for _ in range(batch + 1 - len(batches))]
        batches[batch].append(self._store.put(x))

    def clear(self) -> None:
        """Release all cached inputs and forget which matrices are pruned."""
        self._store.release(x for batches in self._cached.values() for batch in batches for x in batch)
        self._cached.clear()
        self._pruned.clear()

    def mark_pruned(self, matrices: Sequence[Matrix]) -> None:
        """Mark the matrices of a stage as pruned; stages must be marked in their order."""
        cached = [matrix for matrix in matrices if matrix.name in self._cached]
        if cached:
            self._skippable += self._unneeded
            self._unneeded = []
        self._pruned += cached
        self._unneeded += [matrix for matrix in matrices if matrix.name not in self._cached]

    def checked_context(
        self, stream: Stream, index: int, run: Callable[[AbstractContextManager[None]], Sequence[Tensor]]
    ) -> ForwardContext:
        """Return `context` if `run` gives bit-identical tensors for the first batch with it and in full, else `full_forward`."""
        if not self._pruned or stream.carried:
            return full_forward
        try:
            around = run(self.context(0))
            is_clean = not _lacks_numbers((stream.calls[0][index].args, stream.calls[0][index].kwargs))
        except Exception:  # any error that a family's code may raise on meta tensors
            around, is_clean = [], False
        expected = run(nullcontext())
        return self.context if is_clean and _are_equal(around, expected) else full_forward

    @contextmanager
    def context(self, batch: int) -> Iterator[None]:
        """Run the loaded block partially inside the context, on batch `batch`."""
        module = self._block.module
        known = {place(matrix.read(module)): iter(self._cached[matrix.name][batch]) for matrix in self._pruned}
        with _Around(known, {place(matrix.read(module)) for matrix in self._skippable}):
            yield


def full_forward(_batch: int) -> AbstractContextManager[None]:
    """Return the context of a full forward pass."""
    return nullcontext()


class _WouldOverwrite(Exception):
    """Error: a meta tensor would be written into a real one."""


class _Around(TorchFunctionMode):
    """Torch function mode that computes known products from cached inputs and skips needless ones."""

    def __init__(self, known: dict[Place, Iterator[Tensor]], needless: set[Place]) -> None:
        super().__init__()
        self._known = known
        self._skippable = needless
        self._storages = {key[0] for key in (*known, *needless)}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Intercept a torch call."""
        kwargs = kwargs or {}
        found = operands(func, args, kwargs, self._storages)
        if found is not None and found.is_result and found.weight.ndim == 2:
            where = place(found.weight)
            if where in self._skippable:
                shape = (*found.x.shape[:-1], len(found.weight))
                return torch.empty(shape, dtype=found.x.dtype, device="meta")
            if where in self._known:
                x = next(self._known[where]).to(found.weight.device, non_blocking=True)
                return _made(func, args, kwargs, found.x, x)
        return _without_numbers(func, args, kwargs) if _lacks_numbers((args, kwargs)) else func(*args, **kwargs)


def _made(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], given: Tensor, x: Tensor) -> Any:
    """Return the product with x in place of the inputs `given`, by the routine that a full pass would use."""
    replaced = [x if value is given else value for value in args]
    named = {key: x if value is given else value for key, value in kwargs.items()}
    return product(*replaced, **named) if func is functional.linear else func(*replaced, **named)


def _without_numbers(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a call that has meta tensors among its arguments on the meta device: it gives shapes only."""
    name = getattr(func, "__name__", "")
    writes = name.startswith(("__i", "__set")) or (name.endswith("_") and not name.endswith("__"))
    if any(isinstance(value, Tensor) and not value.is_meta for value in (*args[: int(writes)], kwargs.get("out"))):
        raise _WouldOverwrite(name)
    return func(*_emptied(args), **_emptied(kwargs))


def _lacks_numbers(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_meta
    if isinstance(value, dict):
        return any(map(_lacks_numbers, value.values()))
    return isinstance(value, tuple | list) and any(map(_lacks_numbers, value))


def _emptied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    if type(value) is dict:
        return {key: _emptied(item) for key, item in value.items()}
    return type(value)(map(_emptied, value)) if type(value) in (tuple, list) else value


def _are_equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    pairs = list(zip(some, others, strict=False))
    return len(some) == len(others) and all(not one.is_meta and torch.equal(one, other) for one, other in pairs)
