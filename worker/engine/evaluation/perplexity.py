"""Perplexity of a model on windows of text.

Protocol (that of Wanda, SparseGPT and DSnoT): windows do not overlap and are evaluated independently; the loss of a
window of L tokens is the mean over its L − 1 predictions; perplexity is exp of Σ loss · L / (windows · L), the mean loss.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from service.contract.engine_sizes import LOSS_LOGITS
from worker.engine.activations.batches import Stream
from worker.engine.errors import NumericalFailure
from worker.engine.evaluation.head import Head, are_of_windows


@dataclass(frozen=True)
class Perplexity:
    """Perplexity: exp of the mean negative log-likelihood, in nats per token."""

    value: float
    mean_nll: float
    losses: tuple[float, ...]  # mean loss of every window
    tokens: int  # predicted tokens: windows · (L − 1)

    @property
    def windows(self) -> int:
        """The number of windows."""
        return len(self.losses)

    @classmethod
    def of(cls, losses: Tensor, length: int) -> Self:
        """Compute it from the losses (windows,) float64 of windows of `length` tokens; NumericalFailure if not finite."""
        mean = float(losses.mean())
        if not math.isfinite(mean):
            raise NumericalFailure("The head gives NaN or infinite losses.")
        return cls(_exp(mean), mean, tuple(losses.tolist()), len(losses) * (length - 1))


def window_losses(head: Head, stream: Stream, windows: Tensor, measured: Callable[[int], None]) -> Tensor:
    """Return the mean loss of every window, (windows,) float64, from the hidden states after the last block.

    `measured` is called with the number of windows done so far.
    """
    losses: list[float] = []
    for hidden, batch in zip(stream.states, torch.split(windows, stream.sizes), strict=True):
        if are_of_windows(hidden, batch):
            for states, tokens in zip(hidden, batch, strict=True):
                losses.append(_window_loss(head, states, tokens))
                measured(len(losses))
        else:
            losses += _loss_sums(head, hidden, batch, batch[:, 1:]).div(batch.shape[1] - 1).tolist()
            measured(len(losses))
    return torch.tensor(losses, dtype=torch.float64)


def _window_loss(head: Head, states: Tensor, tokens: Tensor) -> float:
    """Return the mean loss of a window, computed in chunks of tokens: states (L, ...), tokens (L,)."""
    chunk = max(1, LOSS_LOGITS // head.vocabulary)
    total = 0.0
    for start in range(0, len(tokens) - 1, chunk):
        targets = tokens[start + 1 : start + chunk + 1]
        stretch = slice(start, start + len(targets))
        total += float(_loss_sums(head, states[None, stretch], tokens[None, stretch], targets[None]))
    return total / (len(tokens) - 1)


def _loss_sums(head: Head, states: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
    """Return sums of losses (samples,) float64: the first n final states of each sample predict targets (samples, n).

    The vocabulary is the last, contiguous axis: along another axis float32 would sum tens of thousands of logits
    sequentially, with an error of 1e-4.
    """
    targets = targets.to(head.device)
    logits = head.logits(states, tokens)[:, : targets.shape[1]]
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return losses.view(targets.shape).sum(dim=1, dtype=torch.float64)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
