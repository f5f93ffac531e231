"""Perplexity of a checkpoint on windows of text, with one block of weights in memory at a time.

Protocol (that of Wanda, SparseGPT and DSnoT): windows do not overlap and are read on their own; the loss of a window of
L tokens is the mean over its L − 1 predictions; the value is exp of Σ loss · L / (windows · L), the mean of the losses.

Last norm, head and whatever a family does to its logits are the model's own: it is run once more with stand-ins for its
layers that give it the final hidden states. As all that acts on every token alone, it is run on a few tokens at a time,
so that logits (tokens, vocabulary) stay small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.architectures import Architecture, take_apart
from worker.engine.calibration import check_tokens, record, replaced_layers
from worker.engine.device_memory import with_less_if_need_be
from worker.engine.errors import NumericalFailure
from worker.engine.loading import choose_device, loaded_block, loaded_surroundings
from worker.engine.meta_models import text_config
from worker.engine.report import Observer, Silent
from worker.engine.shelf import give_back_memory
from worker.engine.streams import Stream

_LOGITS = 1 << 24  # numbers of logits at a time


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood, in nats per token."""

    value: float
    mean_nll: float
    windows: int
    tokens: int  # predicted tokens: windows · (L − 1)


def perplexity(
    source: Path, windows: Tensor, *, device: str = "auto", observer: Observer | None = None, scratch: Path | None = None
) -> Perplexity:
    """The perplexity of the checkpoint in the folder `source`.

    Args:
        windows: (windows, L) int64 token ids, L ≥ 2.
        device: "auto" (a GPU if there is one), "cpu", "cuda", ...
        observer: is told of every block and may stop the run by raising.
        scratch: a folder for activations that do not fit into memory; without one they have to.

    Raises:
        ValueError: the windows do not fit the model.
        FileNotFoundError, ModelUnsafe, ArchitectureUnsupported: see `outline`.
        NumericalFailure: activations or losses that are not finite.
        DeviceMemoryExhausted: the device has not enough memory, even for half a batch.
    """
    watching, target = observer or Silent(), choose_device(device)

    def measure(tokens_per_batch: int) -> Perplexity:
        return _measure(take_apart(source), windows, target, watching, tokens_per_batch, scratch)

    try:
        return with_less_if_need_be(measure, target)
    finally:
        give_back_memory()


def _measure(
    arch: Architecture, windows: Tensor, target: torch.device, observer: Observer, tokens_per_batch: int, scratch: Path | None
) -> Perplexity:
    check_tokens(arch, windows, at_least=2)
    stream = record(arch, windows, target, observer.tick, tokens_per_batch=tokens_per_batch, scratch=scratch)
    total = len(arch.blocks)
    for index, block in enumerate(arch.blocks):
        observer.block_started(index, total)
        with loaded_block(arch, block, target) as layer:
            stream.advance(layer, index, block.name, observer.tick)
        observer.block_finished(index, total, ())
    losses = window_losses(arch, stream, windows, observer.tick)
    mean = float(losses.mean())
    if not math.isfinite(mean):
        raise NumericalFailure("The head gives NaN or infinite losses.")
    return Perplexity(_exp(mean), mean, len(windows), losses.numel() * (windows.shape[1] - 1))


def window_losses(arch: Architecture, stream: Stream, windows: Tensor, tick: Callable[[], None]) -> Tensor:
    """The mean loss of every window, (windows,) float64, from the hidden states after the last block."""
    losses: list[float] = []
    with loaded_surroundings(arch, arch.model, stream.device):
        for hidden, batch in zip(stream.states, torch.split(windows, stream.sizes), strict=True):
            if hidden.shape[:2] == batch.shape:
                losses += [_window_loss(arch, stream, states, tokens) for states, tokens in zip(hidden, batch, strict=True)]
            else:  # a prompt, a second stream, axes in another order: only the model can tell the states of windows apart
                losses += _loss_sums(arch, stream, hidden, batch, batch[:, 1:]).div(batch.shape[1] - 1).tolist()
            tick()
    return torch.tensor(losses, dtype=torch.float64)


def _window_loss(arch: Architecture, stream: Stream, states: Tensor, tokens: Tensor) -> float:
    """The mean loss of a window, a stretch at a time: states (L, ...), tokens (L,)."""
    chunk = max(1, _LOGITS // text_config(arch.config).vocab_size)
    total = 0.0
    for start in range(0, len(tokens) - 1, chunk):
        targets = tokens[start + 1 : start + chunk + 1]
        stretch = slice(start, start + len(targets))
        total += float(_loss_sums(arch, stream, states[None, stretch], tokens[None, stretch], targets[None]))
    return total / (len(tokens) - 1)


def _loss_sums(arch: Architecture, stream: Stream, states: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
    """Sums of losses (samples,) float64: states after the last block predict targets (samples, n), from the first on."""
    hidden, targets = states.to(stream.device), targets.to(stream.device)

    def answer(index: int, *_args: Any, **_kwargs: Any) -> Any:
        return stream.forms[index].wrap(hidden, index)

    with replaced_layers(arch, lambda index: partial(answer, index)):
        logits = arch.model(input_ids=tokens.to(stream.device), use_cache=False).logits[:, : targets.shape[1]]
    losses = functional.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none")  # (samples, n)
    return losses.sum(dim=1, dtype=torch.float64)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
