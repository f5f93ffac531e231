"""Recording of the first block's inputs and of every layer's arguments, to replay a decoder block by block.

A decoder layer takes more than hidden states: masks, positions, rotary tables, and in many families these differ from
layer to layer. So the model is run once with every layer replaced by a stand-in that records its arguments and passes the
hidden states through; the recorded arguments are then replayed block by block.

Axes:   tokens (samples, length) int64; hidden states (samples of a batch, length, width)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine import device_memory
from worker.engine.activations.argument_pool import ArgumentPool
from worker.engine.activations.batches import Carried, Form, LayerArguments, Stream
from worker.engine.activations.store import ActivationStore
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.loading import loaded_block, loaded_non_block_weights
from worker.engine.model.meta import text_config
from worker.engine.model.structure import Architecture


class LayerStub(nn.Module):
    """Replacement of a decoder layer: `forward` calls `answer`, attributes are the layer's."""

    def __init__(self, layer: nn.Module, answer: Callable[..., Any]) -> None:
        super().__init__()
        self.layer = layer
        self.answer = answer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call `answer` in place of the layer."""
        return self.answer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


@contextmanager
def replaced_layers(arch: Architecture, answer_of: Callable[[int], Callable[..., Any]]) -> Iterator[None]:
    """Replace the `forward` of every block i of the model by `answer_of(i)` inside the context."""
    try:
        for index, block in enumerate(arch.blocks):
            arch.layers[block.position] = LayerStub(block.module, answer_of(index))
        yield
    finally:
        for block in arch.blocks:
            arch.layers[block.position] = block.module


def check_tokens(arch: Architecture, tokens: Tensor, *, at_least: int) -> None:
    """Raise ValueError unless tokens are (samples, length ≥ at_least) int64 in the model's vocabulary and length limit."""
    text = text_config(arch.config)
    limit = arch.max_sequence_length
    if tokens.dtype != torch.int64 or tokens.ndim != 2 or not len(tokens) or tokens.shape[1] < at_least:
        kind = f"{tuple(tokens.shape)} {tokens.dtype}"
        raise ValueError(f"Tokens must be int64 (samples, length) of at least 1 x {at_least}, not {kind}.")
    if limit is not None and limit < tokens.shape[1]:
        raise ValueError(f"Sequences of {tokens.shape[1]} tokens are longer than the model's {limit}.")
    if tokens.min() < 0 or tokens.max() >= text.vocab_size:
        raise ValueError(f"Some token ids are outside the model's vocabulary of {text.vocab_size}.")


def record(
    arch: Architecture,
    tokens: Tensor,
    device: torch.device,
    tick: Callable[[], None],
    *,
    tokens_per_batch: int | None = None,
    scratch: Path | None = None,
) -> Stream:
    """Return the stream of inputs of the first block, for tokens (samples, length) int64.

    A batch is as many whole samples as fit into `tokens_per_batch`, at least one. Activations that do not fit into memory
    go into files in `scratch`, if it is given.

    ArchitectureUnsupported if a layer's arguments depend on earlier layers other than through the previous layer's output.
    """
    budget = device_memory.TOKENS_PER_BATCH if tokens_per_batch is None else tokens_per_batch
    batches = torch.split(tokens, samples_per_batch(arch, tokens.shape[1], budget))
    store = ActivationStore(scratch=scratch, pinned=device.type == "cuda")
    recorder = _Recorder(arch, Stream([], [], device, tokens.shape[1], [len(batch) for batch in batches], [], [], store))
    decoder = arch.decoder
    with loaded_non_block_weights(arch, decoder, device), replaced_layers(arch, recorder.answer_of):
        for batch in batches:
            recorder.start_batch()
            try:
                decoder(input_ids=batch.to(device), use_cache=False)
            except IndexError as error:  # a table whose limit neither config nor names show
                raise ValueError(f"Sequences of {batch.shape[1]} tokens are longer than a table of the model.") from error
            tick()
        recorder.start_check()
        decoder(input_ids=batches[-1].to(device), use_cache=False)
    return recorder.finished()


def samples_per_batch(arch: Architecture, length: int, tokens_per_batch: int) -> int:
    """Return the number of samples of this length in a batch."""
    return 1 if arch.has_experts else max(1, tokens_per_batch // length)  # one: see measuring.py


def samples_of_largest_batch(arch: Architecture, tokens: Tensor, tokens_per_batch: int) -> int:
    """Return the number of samples in the largest batch of tokens (samples, length)."""
    return min(len(tokens), samples_per_batch(arch, tokens.shape[1], tokens_per_batch))


class _Recorder:
    """Stand-in for all layers while the model runs; records the arguments of each."""

    def __init__(self, arch: Architecture, stream: Stream) -> None:
        self._arch = arch
        self._stream = stream
        self._pool = ArgumentPool(stream.store, stream.device)
        self._forms: dict[type, Form] = {}
        self._passed: Tensor | None = None  # output of the previous layer
        self._checked: int | None = None  # number of layers called in the check; None while recording

    def start_batch(self) -> None:
        """Begin recording another batch."""
        self._pool.start_batch()
        self._stream.calls.append([])
        self._passed = None

    def start_check(self) -> None:
        """Begin the check: the last batch is run again, now with layers that change the hidden states."""
        self._checked, self._passed = 0, None

    def answer_of(self, index: int) -> Callable[..., Any]:
        """Return the replacement of layer `index`'s `forward` while recording."""
        return partial(self._answer, index)

    def finished(self) -> Stream:
        """Return the stream after all batches are recorded."""
        stream = self._stream
        if any(isinstance(value, Carried) for call in stream.calls[0] for value in (*call.args, *call.kwargs.values())):
            stream.carried = [()] * len(stream.states)
        return stream

    def _answer(self, index: int, *args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs.pop("hidden_states")
        assert isinstance(hidden, Tensor)
        calls = self._stream.calls[-1]
        self._refuse_unless(index == (len(calls) if self._checked is None else self._checked), index)
        self._refuse_unless(self._passed is None or hidden is self._passed or torch.equal(hidden, self._passed), index)
        if self._checked is None:
            self._note(index, hidden, args[1:], kwargs)
            self._passed = hidden
        else:
            self._refuse_unless(_is_same(calls[index].on(self._stream.device), (args[1:], kwargs)), index)
            self._checked, self._passed = index + 1, hidden + 1
        return self._stream.forms[index].wrap(self._passed, index)

    def _note(self, index: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if index == 0:
            self._stream.states.append(self._stream.store.put(hidden))
        if len(self._stream.calls) == 1:
            self._stream.forms.append(self._form(index, hidden, args, kwargs))
        carried = [value for value in (*args, *kwargs.values()) if isinstance(value, Carried)]
        self._refuse_unless(all(value.layer == index - 1 for value in carried), index)
        self._stream.calls[-1].append(LayerArguments(self._pool.share(args), self._pool.share(kwargs)))

    def _refuse_unless(self, is_simple: bool, index: int) -> None:
        """Raise ArchitectureUnsupported unless `is_simple`: other results of earlier layers would be stale when replayed."""
        if not is_simple:
            kind = type(self._arch.blocks[index].module).__name__
            raise ArchitectureUnsupported(f"{kind} takes more from earlier layers than the output of the previous one.")

    def _form(self, index: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Form:
        """Return the form of the layer's output; the first layer of each class is run to find it."""
        block = self._arch.blocks[index]
        kind = type(block.module)
        if kind not in self._forms:
            with loaded_block(self._arch, block, self._stream.device) as layer:
                self._forms[kind] = Form.of(layer(hidden, *args, **kwargs))
        return self._forms[kind]


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two arguments hold equal tensors; only tensors and plain containers are compared."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    if type(one) in (tuple, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    return True
