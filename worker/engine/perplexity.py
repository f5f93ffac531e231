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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.architectures import Architecture, take_apart
from worker.engine.calibration import Stream, check_tokens, record, replaced_layers
from worker.engine.errors import NumericalFailure
from worker.engine.loading import choose_device, loaded_block, loaded_surroundings
from worker.engine.report import Observer, Silent

_LOGITS = 1 << 24  # numbers of logits at a time


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood, in nats per token."""

    value: float
    mean_nll: float
    windows: int
    tokens: int  # predicted tokens: windows · (L − 1)


def perplexity(source: Path, windows: Tensor, *, device: str = "auto", observer: Observer | None = None) -> Perplexity:
    """The perplexity of the checkpoint in the folder `source`.

    Args:
        windows: (windows, L) int64 token ids, L ≥ 2.
        device: "auto" (a GPU if there is one), "cpu", "cuda", ...
        observer: is told of every block and may stop the run by raising.

    Raises:
        ValueError: the windows do not fit the model.
        FileNotFoundError, ModelUnsafe, ArchitectureUnsupported: see `outline`.
        NumericalFailure: activations or losses that are not finite.
    """
    observer, target = observer or Silent(), choose_device(device)
    arch = take_apart(source)
    check_tokens(arch, windows, at_least=2)
    stream = record(arch, windows, target, observer.tick)
    total = len(arch.blocks)
    for index, block in enumerate(arch.blocks):
        observer.block_started(index, total)
        with loaded_block(arch, block, target) as layer:
            stream.advance(layer, index, block.name, observer.tick)
        observer.block_finished(index, total, ())
    losses = _losses(arch, stream, windows, observer.tick)
    mean = float(losses.mean())
    if not math.isfinite(mean):
        raise NumericalFailure("The head gives NaN or infinite losses.")
    return Perplexity(_exp(mean), mean, len(windows), losses.numel() * (windows.shape[1] - 1))


def _losses(arch: Architecture, stream: Stream, windows: Tensor, tick: Callable[[], None]) -> Tensor:
    """The mean loss of every window, (windows,) float64, from the hidden states after the last block."""
    chunk = max(1, _LOGITS // arch.config.get_text_config().vocab_size)
    losses = []
    with loaded_surroundings(arch, arch.model, stream.device):
        for hidden, batch in zip(stream.states, torch.split(windows, len(stream.states[0])), strict=True):
            for states, tokens in zip(hidden, batch, strict=True):  # (L, width), (L,)
                sums = [
                    _chunk_loss(arch, stream, states[start : start + chunk], tokens[start : start + chunk + 1])
                    for start in range(0, len(tokens) - 1, chunk)
                ]
                losses.append(sum(sums) / (len(tokens) - 1))
                tick()
    return torch.tensor(losses, dtype=torch.float64)


def _chunk_loss(arch: Architecture, stream: Stream, states: Tensor, tokens: Tensor) -> float:
    """Sum of the losses of a stretch: states (n, width) predict tokens[1:]; tokens is one longer unless the window ends."""
    targets = tokens[1:].to(stream.device)
    hidden = states[None, : len(targets)].to(stream.device)

    def answer(*_args: Any, **_kwargs: Any) -> Any:
        return (hidden,) if stream.answers_tuple else hidden

    with replaced_layers(arch, lambda _index: answer):
        ids = tokens[None, : len(targets)].to(stream.device)
        logits = arch.model(input_ids=ids, use_cache=False).logits[0]
    return float(functional.cross_entropy(logits.float(), targets, reduction="none").sum(dtype=torch.float64))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
