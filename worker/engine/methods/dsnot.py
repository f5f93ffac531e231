"""DSnoT: grow-and-prune swaps, row by row, that reduce the expected reconstruction error of the output.

Paper: Zhang et al., "Dynamic Sparse No Training", ICLR 2024, arXiv:2310.08915 (equations 2 to 6, algorithm 1).

Axes:    W and all masks (out, in); statistics (in,); one row r is one output and is refined independently.
Symbols: P    set of pruned weights of the row
         D_j = W_rj · E[x_j]      contribution of weight j to the expected output
         Δ   = Σ_{j ∈ P} D_j      expected reconstruction error of the row: the contributions of its pruned weights
         σ   = sign(Δ)
         p    exponent of the variance, which penalises inputs of high variance
         K    maximum length of a list of swaps, min(max_cycles, in)

One swap grows (revives) the pruned j with the largest σ·D_j / Var[x_j]^p among σ·D_j > 0, and prunes the kept k of
least saliency among σ·D_k < 0; both move Δ towards zero: Δ ← Δ − D_j + D_k. Under n:m, k is the least salient kept
weight of j's own group, whatever its sign. No weight is swapped twice, so the order of the candidates of one sign is
fixed: the i-th swap made under sign σ is always the i-th pair of a precomputed list. All rows are therefore refined at
once, without a loop over rows, by walking along two lists (one per sign).
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Swaps:
    """Swaps of one sign in the order in which they are tried; indices of inputs, (out, K)."""

    grown: Tensor
    pruned: Tensor
    change: Tensor  # change of Δ by each swap, (out, K)
    available: Tensor  # number of legal pairs of a row, at most K, (out,)


class Stop(IntEnum):
    """Reason why a row stopped swapping."""

    THRESHOLD = 0  # |Δ| ≤ threshold
    NO_PAIR = 1  # no legal pair is left
    SIGN_CHANGE = 2  # the next swap would have changed the sign of Δ
    MAX_CYCLES = 3


@dataclass(frozen=True)
class DsnotResult:
    """The mask (out, in) after all swaps, and the `Stop` of every row, (out,) int64."""

    pruned: Tensor
    stops: Tensor


def grow_and_prune(
    weight: Tensor,
    pruned: Tensor,
    *,
    mean: Tensor,
    variance: Tensor,
    saliency: Tensor,
    max_cycles: int,
    threshold: float,
    variance_power: float = 1.0,
    stop_on_sign_change: bool = True,
    pattern: tuple[int, int] | None = None,
) -> Tensor:
    """Return the refined mask, (out, in) bool; as `refine_by_dsnot`, with `pattern` (n, m) for groups of m."""
    return refine_by_dsnot(
        weight,
        pruned,
        mean=mean,
        variance=variance,
        saliency=saliency,
        max_cycles=max_cycles,
        threshold=threshold,
        variance_power=variance_power,
        stop_on_sign_change=stop_on_sign_change,
        group=pattern and pattern[1],
    ).pruned


def refine_by_dsnot(
    weight: Tensor,
    pruned: Tensor,
    *,
    mean: Tensor,
    variance: Tensor,
    saliency: Tensor,
    max_cycles: int,
    threshold: float,
    variance_power: float,
    stop_on_sign_change: bool,
    group: int | None,
) -> DsnotResult:
    """Make at most `max_cycles` swaps in each row; rows and groups keep their number of pruned weights.

    A row stops when |Δ| ≤ threshold, when no legal pair is left, after `max_cycles` swaps or, with `stop_on_sign_change`,
    before the first swap that would change the sign of Δ.

    Args:
        weight: (out, in) float32.
        pruned: (out, in) bool, True = pruned. Nothing is changed in place.
        mean: E[x_j], (in,).
        variance: Var[x_j], (in,).
        saliency: (out, in); among the kept weights whose pruning reduces |Δ|, the least salient is pruned first.
        max_cycles: maximum number of swaps per row.
        threshold: in the unit of `weight · mean`.
        variance_power: p ≥ 0; 0 ignores the variance.
        stop_on_sign_change: the sign rule; always on within groups.
        group: both weights of a swap are in the same group of this many consecutive inputs; None: anywhere in the row.
    """
    contribution = weight * mean  # D
    error = (contribution * pruned).sum(dim=1)  # Δ, (out,)
    score = contribution.abs() / variance.pow(variance_power)
    length = min(max_cycles, weight.shape[1])
    if length == 0:
        return DsnotResult(pruned.clone(), torch.full_like(error, Stop.MAX_CYCLES, dtype=torch.int64))

    def swaps_under(sign: Tensor) -> _Swaps:
        helps = contribution * sign[:, None]  # σ·D
        if group is None:
            return _pairs_anywhere(contribution, helps, pruned, score, saliency, length)
        return _pairs_within_groups(contribution, helps, pruned, score, saliency, length, group=group)

    if stop_on_sign_change or group is not None:
        swaps = [swaps_under(error.sign())]
        used, stops = _walk_keeping_sign(error, swaps[0], threshold)
    else:
        swaps = [swaps_under(torch.ones_like(error)), swaps_under(-torch.ones_like(error))]
        used, stops = _walk_both_signs(error, swaps, threshold)
    return DsnotResult(_apply(pruned, swaps, used), stops)


def _pairs_anywhere(contribution: Tensor, helps: Tensor, pruned: Tensor, score: Tensor, saliency: Tensor, length: int) -> _Swaps:
    """Return the swaps of unstructured rows: the i-th best weight to grow with the i-th least salient weight to prune."""
    growable, prunable = pruned & (helps > 0), ~pruned & (helps < 0)
    grown = score.masked_fill(~growable, -torch.inf).topk(length, dim=1).indices
    least = saliency.masked_fill(~prunable, torch.inf).topk(length, dim=1, largest=False).indices
    available = torch.minimum(growable.sum(dim=1), prunable.sum(dim=1))
    return _Swaps(grown, least, contribution.gather(1, least) - contribution.gather(1, grown), available)


def _pairs_within_groups(
    contribution: Tensor, helps: Tensor, pruned: Tensor, score: Tensor, saliency: Tensor, length: int, *, group: int
) -> _Swaps:
    """Return the swaps of n:m rows: a group's i-th best weight to grow with its i-th least salient kept weight.

    A group can swap no more weights than it keeps; further candidates are not legal.
    """
    rows, width = pruned.shape
    grouped = (rows, width // group, group)
    growable = pruned & (helps > 0)
    score = score.masked_fill(~growable, -torch.inf)
    rank = score.reshape(grouped).argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    kept_first = saliency.masked_fill(pruned, torch.inf).reshape(grouped).argsort(dim=2, stable=True)
    start = torch.arange(0, width, group, device=pruned.device)[None, :, None]
    partner = (kept_first.gather(2, rank) + start).reshape(rows, width)
    kept = (~pruned).reshape(grouped).sum(dim=2, keepdim=True)
    growable = growable & (rank < kept).reshape(rows, width)
    grown = score.masked_fill(~growable, -torch.inf).topk(length, dim=1).indices
    least = partner.gather(1, grown)
    change = contribution.gather(1, least) - contribution.gather(1, grown)
    return _Swaps(grown, least, change, growable.sum(dim=1))


def _walk_keeping_sign(error: Tensor, swaps: _Swaps, threshold: float) -> tuple[list[Tensor], Tensor]:
    """Return the number of swaps of each row, (out,), under the sign rule, and its `Stop`.

    A row makes its swaps in their order, so Δ is a running sum, and the row stops at the first swap that a reason forbids.
    """
    path = _running_sums(error, swaps.change)
    step = torch.arange(len(path) - 1, device=error.device)[:, None]
    reasons = path[:-1].abs() <= threshold, step >= swaps.available, path[1:].sign() != error.sign()  # (K, out) each
    first = (reasons[0] | reasons[1] | reasons[2]).byte().argmax(dim=0, keepdim=True)
    stops = _first_reason(*(reason.gather(0, first)[0] for reason in reasons))
    return [torch.where(stops == Stop.MAX_CYCLES, len(step), first[0])], stops


def _running_sums(error: Tensor, change: Tensor) -> Tensor:
    """Return Δ before the first swap and after each, (K + 1, out).

    Swap by swap, because `cumsum` sums in float64 on a CPU and in an undetermined order on CUDA, which changes a mask
    where Δ meets the threshold or zero.
    """
    path = torch.cat([error[None], change.T])
    for before, after in pairwise(path):
        after.add_(before)
    return path


def _walk_both_signs(error: Tensor, swaps: list[_Swaps], threshold: float) -> tuple[list[Tensor], Tensor]:
    """Do the same without the sign rule: each swap comes from the list of the current sign of Δ."""
    change = torch.stack([side.change for side in swaps])  # (2, out, K); side 0 is σ = +1
    available = torch.stack([side.available for side in swaps])  # (2, out)
    used, rows, length = torch.zeros_like(available), torch.arange(len(error), device=error.device), change.shape[2]

    def state() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        side = (error < 0).long()
        step = used[side, rows]
        return side, step, error.abs() <= threshold, step >= available[side, rows]

    for _ in range(length):
        side, step, is_small, has_no_pair = state()
        stays = is_small | has_no_pair  # for good, because neither Δ nor the lists change
        error = torch.where(stays, error, error + change[side, rows, step.clamp(max=length - 1)])
        used[side, rows] = step + ~stays
    _, _, is_small, has_no_pair = state()
    is_spent = used.sum(dim=0) == length
    return list(used), _first_reason(is_small & ~is_spent, has_no_pair & ~is_spent, torch.zeros_like(is_spent))


def _first_reason(is_small: Tensor, has_no_pair: Tensor, turns_sign: Tensor) -> Tensor:
    """Return the first reason that holds, int64; MAX_CYCLES where none does."""
    reason = torch.where(turns_sign, Stop.SIGN_CHANGE, Stop.MAX_CYCLES)
    return torch.where(is_small, Stop.THRESHOLD, torch.where(has_no_pair, Stop.NO_PAIR, reason))


def _apply(pruned: Tensor, swaps: list[_Swaps], used: list[Tensor]) -> Tensor:
    """Flip the mask at the first `used` pairs of every list; no weight occurs twice, so one flip each is enough."""
    flips = torch.zeros_like(pruned, dtype=torch.int8)
    for side, count in zip(swaps, used, strict=True):
        taken = torch.arange(side.grown.shape[1], device=pruned.device) < count[:, None]
        flips.scatter_add_(1, side.grown, taken.to(torch.int8))
        flips.scatter_add_(1, side.pruned, taken.to(torch.int8))
    return pruned ^ flips.bool()
