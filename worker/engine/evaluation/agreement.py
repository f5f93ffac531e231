"""Agreement of the next-token distributions of a pruned model and the dense one, on the same windows of text.

Symbols: p, q    distributions of the dense and of the pruned model at one position, softmax in float64 of their logits
         KL      KL(p ‖ q) = Σ p · (log p − log q), in nats; 0 where they are the same
Positions are those of perplexity: every token of a window but its last.

Of the dense model only the final hidden states are needed. Both models' states go through the head of the pruned model,
because pruning changes nothing outside the blocks, so two models are never in memory; a few tokens at a time, so that
logits stay small.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from service.contract.engine_sizes import COMPARED_LOGITS
from worker.engine.activations.batches import Stream
from worker.engine.errors import NumericalFailure
from worker.engine.evaluation.final_states import FinalStates
from worker.engine.evaluation.head import Head

_TAIL = 0.99


@dataclass(frozen=True)
class Agreement:
    """Agreement of a pruned model with the dense one on windows of L tokens."""

    divergences: tuple[float, ...]  # mean KL of every window
    matches: tuple[float, ...]  # share of every window's positions at which the most likely token is the same
    divergence_p99: float  # 99th percentile of KL over all positions
    tokens: int  # positions: windows · (L − 1)

    @property
    def windows(self) -> int:
        """The number of windows."""
        return len(self.divergences)


def agreement(head: Head, dense: FinalStates, stream: Stream, windows: Tensor, measured: Callable[[int], None]) -> Agreement:
    """Compare the first `dense.count` windows; `stream` has all windows (windows, L) after the pruned model's last block.

    `measured` is called, several times per window, with the number of windows done so far.
    """
    length = windows.shape[1]
    kl = torch.empty(dense.count * (length - 1), dtype=torch.float64)
    is_same = torch.empty(len(kl), dtype=torch.bool)
    of_dense = head.predictions(dense.states, torch.split(windows[: sum(dense.sizes)], dense.sizes), COMPARED_LOGITS)
    of_pruned = head.predictions(stream.states, torch.split(windows, stream.sizes), COMPARED_LOGITS)
    done = 0
    while done < len(kl):
        before, after = next(of_dense), next(of_pruned)
        assert before.shape == after.shape, "both are cut alike"
        place = slice(done, done + len(before))
        is_same[place] = before.argmax(dim=-1) == after.argmax(dim=-1)
        kl[place] = divergence(before, after)
        done = place.stop
        measured(done // (length - 1))
    if not kl.isfinite().all():
        raise NumericalFailure("The head gives NaN or infinite logits.")
    tail = float(kl.kthvalue(ceil(_TAIL * len(kl))).values)
    of_windows = (dense.count, length - 1)
    matches = is_same.view(of_windows).double().mean(dim=1)
    return Agreement(tuple(kl.view(of_windows).mean(dim=1).tolist()), tuple(matches.tolist()), tail, len(kl))


def divergence(dense: Tensor, pruned: Tensor) -> Tensor:
    """Return KL (n,) float64 from logits (n, vocabulary), clamped to 0 where rounding makes it negative."""
    before, after = dense.double().log_softmax(dim=-1), pruned.double().log_softmax(dim=-1)
    likelihood = before.exp()
    return likelihood.mul_(before.sub_(after)).sum(dim=-1).clamp_(min=0)
