"""Setting calibration samples on their way through a decoder, which they then go one block at a time.

A decoder layer takes more than hidden states: masks, positions, rotary tables, and in many families these differ from
layer to layer. Only the model knows what it hands to which, so it is run with every layer replaced by a stand-in that
notes its arguments and passes the hidden states through; the noted arguments are then replayed block by block.

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
from worker.engine.activations.batches import Call, Carried, Form, Stream
from worker.engine.activations.store import Shelf
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.loading import loaded_block, loaded_surroundings
from worker.engine.model.meta import text_config
from worker.engine.model.structure import Architecture


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


def check_tokens(arch: Architecture, tokens: Tensor, *, at_least: int) -> None:
    """ValueError unless the tokens are (samples, length ≥ at_least) int64 that the model knows and can take in."""
    text = text_config(arch.config)
    limit = getattr(text, "max_position_embeddings", None)
    if tokens.dtype != torch.int64 or tokens.ndim != 2 or not len(tokens) or tokens.shape[1] < at_least:
        kind = f"{tuple(tokens.shape)} {tokens.dtype}"
        raise ValueError(f"Tokens must be int64 (samples, length) of at least 1 x {at_least}, not {kind}.")
    if limit is not None and 0 < limit < tokens.shape[1]:
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
    """The stream at the entrance of the first block, for tokens (samples, length) int64.

    Whole samples up to so many tokens go through a block together, at least one. Activations that do not fit into memory
    go into files in `scratch`, if it is given.

    ArchitectureUnsupported if what a layer is handed depends on the layers before it in another way than by their output.
    """
    budget = device_memory.TOKENS_PER_BATCH if tokens_per_batch is None else tokens_per_batch
    batches = torch.split(tokens, samples_per_batch(arch, tokens.shape[1], budget))
    shelf = Shelf(scratch=scratch, pinned=device.type == "cuda")
    recorder = _Recorder(arch, Stream([], [], device, tokens.shape[1], [len(batch) for batch in batches], [], [], shelf))
    decoder = arch.model.base_model
    with loaded_surroundings(arch, decoder, device), replaced_layers(arch, recorder.answer_of):
        for batch in batches:
            recorder.start_batch()
            decoder(input_ids=batch.to(device), use_cache=False)
            tick()
        recorder.start_check()
        decoder(input_ids=batches[-1].to(device), use_cache=False)
    return recorder.finished()


def samples_per_batch(arch: Architecture, length: int, tokens_per_batch: int) -> int:
    """How many samples of this length go through a block together."""
    return 1 if arch.has_experts else max(1, tokens_per_batch // length)  # one: see measuring.py


class _Recorder:
    """Answers for all layers while the model runs, and notes what each was handed."""

    def __init__(self, arch: Architecture, stream: Stream) -> None:
        self._arch = arch
        self._stream = stream
        self._pool = _Pool()
        self._forms: dict[type, Form] = {}
        self._passed: Tensor | None = None  # the hidden states that the last layer gave
        self._checked: int | None = None  # in the check: how many layers were called

    def start_batch(self) -> None:
        """The next calls are those of another batch."""
        self._stream.calls.append([])
        self._passed = None

    def start_check(self) -> None:
        """The next calls are those of the last batch once more, now with layers that change the hidden states."""
        self._checked, self._passed = 0, None

    def answer_of(self, index: int) -> Callable[..., Any]:
        """What layer `index` answers while recording."""
        return partial(self._answer, index)

    def finished(self) -> Stream:
        """The stream, when all batches have passed."""
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
            self._refuse_unless(_is_same((calls[index].args, calls[index].kwargs), (args[1:], kwargs)), index)
            self._checked, self._passed = index + 1, hidden + 1
        return self._stream.forms[index].wrap(self._passed, index)

    def _note(self, index: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if index == 0:
            self._stream.states.append(self._stream.shelf.put(hidden))
        if len(self._stream.calls) == 1:
            self._stream.forms.append(self._form(index, hidden, args, kwargs))
        carried = [value for value in (*args, *kwargs.values()) if isinstance(value, Carried)]
        self._refuse_unless(all(value.layer == index - 1 for value in carried), index)
        self._stream.calls[-1].append(Call(self._pool.share(args), self._pool.share(kwargs)))

    def _refuse_unless(self, is_simple: bool, index: int) -> None:
        """Whatever else a layer is handed of earlier ones would be wrong when it is replayed."""
        if not is_simple:
            kind = type(self._arch.blocks[index].module).__name__
            raise ArchitectureUnsupported(f"{kind} is handed more of the layers before it than the output of the last one.")

    def _form(self, index: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Form:
        """The form of the layer's output, from the real layer; the first of a class is asked for all of it."""
        block = self._arch.blocks[index]
        kind = type(block.module)
        if kind not in self._forms:
            with loaded_block(self._arch, block, self._stream.device) as layer:
                self._forms[kind] = Form.of(layer(hidden, *args, **kwargs))
        return self._forms[kind]


def _is_same(one: Any, other: Any) -> bool:
    """Whether two arguments hold the same tensors. What is neither a tensor nor a plain container is not looked into."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    if type(one) in (tuple, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    return True


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
