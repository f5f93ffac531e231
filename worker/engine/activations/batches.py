"""Calibration samples propagated through the decoder block by block, in batches.

Axes:   hidden states (samples of a batch, length, width), in some families more axes or another order; in an `ActivationStore`
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.activations.store import ActivationStore
from worker.engine.errors import NumericalFailure

ForwardContext = Callable[[int], AbstractContextManager[None]]  # context manager to run a batch in, by batch number


@dataclass(frozen=True)
class Carried:
    """Placeholder for output `position` of a layer, in families whose layers pass on more than hidden states."""

    layer: int
    position: int


@dataclass(frozen=True)
class OnHost:
    """Placeholder for a tensor of the device that is kept on the host."""

    tensor: Tensor


@dataclass
class LayerArguments:
    """Arguments of a layer other than the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def on(self, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with tensors in place of `OnHost`."""
        return _moved(self.args, device), _moved(self.kwargs, device)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, OnHost):
        return value.tensor.to(device, non_blocking=True)
    if type(value) in (tuple, list):
        return type(value)(_moved(item, device) for item in value)
    return {key: _moved(item, device) for key, item in value.items()} if type(value) is dict else value


@dataclass
class Stream:
    """Propagation state of all batches: their current hidden states and the recorded arguments of each layer."""

    states: list[Tensor]  # one per batch, owned by this stream
    calls: list[list[LayerArguments]]  # [batch][layer]
    device: torch.device
    length: int  # tokens per sample
    sizes: list[int]  # samples of each batch
    forms: list["Form"]  # output structure of each layer
    carried: list[tuple[Any, ...]]  # one per batch: full output of the last layer; empty if no layer uses it
    store: ActivationStore

    @property
    def samples(self) -> int:
        """Number of samples in all batches."""
        return sum(self.sizes)

    def run(self, layer: nn.Module, index: int, batch: int) -> Tensor:
        """Return the output of block `index` for one batch, on the device, without changing the stored state."""
        output = self._call(layer, index, batch)
        hidden: Tensor = output[0] if isinstance(output, tuple | list) else output
        return hidden

    def advance(
        self,
        layer: nn.Module,
        index: int,
        name: str,
        tick: Callable[[], None],
        context: "ForwardContext" = lambda _: nullcontext(),
    ) -> None:
        """Run every batch through block `index`, each inside its `context`. NumericalFailure if an output is not finite."""
        for batch in range(len(self.states)):
            with context(batch):
                self.step(layer, index, name, batch)
            tick()

    def step(self, layer: nn.Module, index: int, name: str, batch: int) -> None:
        """Run one batch through block `index`, called `name`. NumericalFailure if the output is not finite."""
        output = self._call(layer, index, batch)
        hidden = output[0] if isinstance(output, tuple | list) else output
        if not hidden.isfinite().all():
            raise NumericalFailure(f"{name} gives NaN or infinite activations.")
        self.states[batch] = self.store.replace(self.states[batch], hidden)
        if self.carried:
            self.carried[batch] = tuple(output)

    def copy(self, batches: int | None = None) -> "Stream":
        """Return an independent copy of the first `batches` batches, by default of all."""
        taken = slice(batches)
        states = [self.store.put(state) for state in self.states[taken]]
        calls, sizes, carried = self.calls[taken], self.sizes[taken], self.carried[taken]
        return replace(self, states=states, calls=calls, sizes=sizes, carried=carried)

    def _call(self, layer: nn.Module, index: int, batch: int) -> Any:
        call = self.calls[batch][index]
        args, kwargs = call.on(self.device)
        if self.carried:
            args = tuple(self._resolve(value, batch) for value in args)
            kwargs = {key: self._resolve(value, batch) for key, value in kwargs.items()}
        return layer(self.states[batch].to(self.device, non_blocking=True), *args, **kwargs)

    def _resolve(self, value: Any, batch: int) -> Any:
        return self.carried[batch][value.position] if isinstance(value, Carried) else value


@dataclass(frozen=True)
class Form:
    """Output structure of a layer: bare hidden states, or a tuple or list that begins with them."""

    kind: type | None
    others: tuple[Any, ...] = ()  # `...` stands for a tensor, which only the real layer can compute

    @classmethod
    def of(cls, output: Any) -> "Form":
        """Return the form of a real output."""
        if not isinstance(output, tuple | list):
            return cls(None)
        return cls(type(output), tuple(... if isinstance(other, Tensor) else other for other in output[1:]))

    def wrap(self, hidden: Tensor, layer: int) -> Any:
        """Wrap hidden states in this form, as the output of layer `layer`."""
        if self.kind is None:
            return hidden
        others = (Carried(layer, i) if other is ... else other for i, other in enumerate(self.others, start=1))
        return self.kind((hidden, *others))
