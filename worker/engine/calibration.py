"""Sending calibration samples through a decoder one block at a time.

A decoder layer takes more than hidden states: masks, positions, rotary tables, and in many families these differ from
layer to layer. Only the model knows what it hands to which, so it is run with every layer replaced by a stand-in that
notes its arguments and passes the hidden states through; the noted arguments are then replayed block by block.

Axes:   tokens (samples, length) int64; hidden states (samples of a batch, length, width), kept on the CPU
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.architectures import Architecture
from worker.engine.errors import NumericalFailure
from worker.engine.loading import loaded_block, loaded_surroundings

TOKENS_PER_BATCH = 2048  # whole samples up to this many tokens go through a block together, at least one


class StandIn(nn.Module):
    """In the place of a decoder layer: answers by a function; for all else it is the layer."""

    def __init__(self, layer: nn.Module, answer: Callable[..., Any]) -> None:
        super().__init__()
        self.layer = layer
        self.answer = answer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.answer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


@contextmanager
def replaced_layers(arch: Architecture, answer_of: Callable[[int], Callable[..., Any]]) -> Iterator[None]:
    """While open, layer i of the model answers by `answer_of(i)`."""
    real = list(arch.layers)
    try:
        for index, layer in enumerate(real):
            arch.layers[index] = StandIn(layer, answer_of(index))
        yield
    finally:
        for index, layer in enumerate(real):
            arch.layers[index] = layer


@dataclass
class Call:
    """What a layer was handed beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Stream:
    """All batches on their way through the blocks: where they stand, and what each layer is to be handed."""

    states: list[Tensor]  # one per batch
    calls: list[list[Call]]  # [batch][layer]
    device: torch.device
    answers_tuple: bool  # the layers of this family wrap their hidden states in a tuple
    length: int  # tokens per sample
    samples: int
    tensors: "_Pool" = field(repr=False)

    def run(self, layer: nn.Module, index: int, batch: int) -> Tensor:
        """The output of block `index` for one batch, on the device; its state is left as it was."""
        call = self.calls[batch][index]
        output = layer(self.states[batch].to(self.device), *call.args, **call.kwargs)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden

    def advance(self, layer: nn.Module, index: int, name: str, tick: Callable[[], None]) -> None:
        """Send every batch through block `index`. NumericalFailure if what comes out is not finite."""
        for batch in range(len(self.states)):
            hidden = self.run(layer, index, batch)
            if not hidden.isfinite().all():
                raise NumericalFailure(f"{name} gives NaN or infinite activations.")
            self.states[batch] = hidden.cpu()
            tick()


def check_tokens(arch: Architecture, tokens: Tensor, *, at_least: int) -> None:
    """ValueError unless the tokens are (samples, length ≥ at_least) int64 that the model knows and can take in."""
    text = arch.config.get_text_config()
    limit = getattr(text, "max_position_embeddings", None)
    if tokens.dtype != torch.int64 or tokens.ndim != 2 or not len(tokens) or tokens.shape[1] < at_least:
        kind = f"{tuple(tokens.shape)} {tokens.dtype}"
        raise ValueError(f"Tokens must be int64 (samples, length) of at least 1 x {at_least}, not {kind}.")
    if limit is not None and tokens.shape[1] > limit:
        raise ValueError(f"Sequences of {tokens.shape[1]} tokens are longer than the model's {limit}.")
    if tokens.min() < 0 or tokens.max() >= text.vocab_size:
        raise ValueError(f"Some token ids are outside the model's vocabulary of {text.vocab_size}.")


def record(arch: Architecture, tokens: Tensor, device: torch.device, tick: Callable[[], None]) -> Stream:
    """The stream at the entrance of the first block, for tokens (samples, length) int64."""
    per_batch = max(1, TOKENS_PER_BATCH // tokens.shape[1])
    stream = Stream([], [], device, answers_tuple=False, length=tokens.shape[1], samples=len(tokens), tensors=_Pool())
    decoder = arch.model.base_model
    with (
        loaded_surroundings(arch, decoder, device),
        loaded_block(arch, arch.blocks[0], device) as first,
        replaced_layers(arch, lambda index: _note(stream, index, first)),
    ):
        for batch in torch.split(tokens, per_batch):
            stream.calls.append([])
            decoder(input_ids=batch.to(device), use_cache=False)
            tick()
    return stream


def _note(stream: Stream, index: int, first: nn.Module) -> Callable[..., Any]:
    """The answer of layer `index` while recording. The real first layer is asked once whether it gives a tuple."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs.pop("hidden_states")
        assert isinstance(hidden, Tensor)
        if index == 0:
            stream.states.append(hidden.cpu())
            if len(stream.states) == 1:
                stream.answers_tuple = isinstance(first(hidden, *args[1:], **kwargs), tuple)
        stream.calls[-1].append(Call(stream.tensors.share(args[1:]), stream.tensors.share(kwargs)))
        return (hidden,) if stream.answers_tuple else hidden

    return answer


class _Pool:
    """Keeps one copy of tensors that are handed over again and again, such as the mask of every layer and batch."""

    def __init__(self) -> None:
        self._known: list[Tensor] = []

    def share(self, value: Any) -> Any:
        """The same value, built of the copies in the pool."""
        if isinstance(value, Tensor):
            return self._share_tensor(value)
        if type(value) in (tuple, list):
            return type(value)(self.share(item) for item in value)
        if type(value) is dict:
            return {key: self.share(item) for key, item in value.items()}
        return value

    def _share_tensor(self, tensor: Tensor) -> Tensor:
        for known in self._known:
            if known is tensor:
                return known
            if known.shape == tensor.shape and known.dtype == tensor.dtype and torch.equal(known, tensor):
                return known
        self._known.append(tensor)
        return tensor
