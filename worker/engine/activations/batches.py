"""Samples on their way through the blocks of a decoder, all of them one block further at a time.

Axes:   hidden states (samples of a batch, length, width), in some families with axes more or in another order; kept on a shelf
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.activations.store import Shelf
from worker.engine.errors import NumericalFailure

Way = Callable[[int], AbstractContextManager[None]]  # what is to be open while a batch, by its number, is run


@dataclass(frozen=True)
class Carried:
    """Stands for output `position` of a layer, where a family hands more than hidden states from one to the next."""

    layer: int
    position: int


@dataclass
class Call:
    """What a layer was handed beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Stream:
    """All batches on their way through the blocks: where they stand, and what each layer is to be handed."""

    states: list[Tensor]  # one per batch; nobody else's
    calls: list[list[Call]]  # [batch][layer]
    device: torch.device
    length: int  # tokens per sample
    sizes: list[int]  # samples of each batch
    forms: list["Form"]  # of each layer's output
    carried: list[tuple[Any, ...]]  # one per batch: the whole output of the last layer, if any layer asks for it
    shelf: Shelf

    @property
    def samples(self) -> int:
        """How many there are in all batches."""
        return sum(self.sizes)

    def run(self, layer: nn.Module, index: int, batch: int) -> Tensor:
        """The output of block `index` for one batch, on the device; its state is left as it was."""
        output = self._call(layer, index, batch)
        hidden: Tensor = output[0] if isinstance(output, tuple | list) else output
        return hidden

    def advance(
        self, layer: nn.Module, index: int, name: str, tick: Callable[[], None], way: "Way" = lambda _: nullcontext()
    ) -> None:
        """Send every batch through block `index`, each while its way is open. NumericalFailure if it comes out not finite."""
        for batch in range(len(self.states)):
            with way(batch):
                self.step(layer, index, name, batch)
            tick()

    def step(self, layer: nn.Module, index: int, name: str, batch: int) -> None:
        """Send one batch through block `index`, called `name`. NumericalFailure if what comes out is not finite."""
        output = self._call(layer, index, batch)
        hidden = output[0] if isinstance(output, tuple | list) else output
        if not hidden.isfinite().all():
            raise NumericalFailure(f"{name} gives NaN or infinite activations.")
        self.states[batch] = self.shelf.replace(self.states[batch], hidden)
        if self.carried:
            self.carried[batch] = tuple(output)

    def copy(self, batches: int | None = None) -> "Stream":
        """The first batches, by default all, which then go their own way."""
        taken = slice(batches)
        states = [self.shelf.put(state) for state in self.states[taken]]
        calls, sizes, carried = self.calls[taken], self.sizes[taken], self.carried[taken]
        return replace(self, states=states, calls=calls, sizes=sizes, carried=carried)

    def _call(self, layer: nn.Module, index: int, batch: int) -> Any:
        call = self.calls[batch][index]
        args, kwargs = call.args, call.kwargs
        if self.carried:
            args = tuple(self._resolve(value, batch) for value in args)
            kwargs = {key: self._resolve(value, batch) for key, value in kwargs.items()}
        return layer(self.states[batch].to(self.device, non_blocking=True), *args, **kwargs)

    def _resolve(self, value: Any, batch: int) -> Any:
        return self.carried[batch][value.position] if isinstance(value, Carried) else value


@dataclass(frozen=True)
class Form:
    """How a layer wraps its hidden states: bare, or first in a tuple or list with others."""

    kind: type | None
    others: tuple[Any, ...] = ()  # `...` in the place of a tensor, which only a real layer can give

    @classmethod
    def of(cls, output: Any) -> "Form":
        """The form of a real output."""
        if not isinstance(output, tuple | list):
            return cls(None)
        return cls(type(output), tuple(... if isinstance(other, Tensor) else other for other in output[1:]))

    def wrap(self, hidden: Tensor, layer: int) -> Any:
        """Hidden states in this form, as if layer `layer` gave them."""
        if self.kind is None:
            return hidden
        others = (Carried(layer, i) if other is ... else other for i, other in enumerate(self.others, start=1))
        return self.kind((hidden, *others))
