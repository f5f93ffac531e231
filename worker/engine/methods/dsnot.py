"""DSnoT: swap pruned and kept weights, row by row, so that the expected error of the output shrinks.

Paper: Zhang et al., "Dynamic Sparse No Training", ICLR 2024, arXiv:2310.08915 (equations 2 to 6, algorithm 1).

Axes:    W and all masks (out, in); statistics (in,); one row r is one output and is refined on its own.
Symbols: P    set of pruned weights of the row
         D_j = W_rj · E[x_j]      what weight j adds to the expected output
         Δ   = Σ_{j ∈ P} D_j      the expected error of the row: what its pruned weights no longer add
         σ   = sign(Δ)
         p    the power of the variance that discounts unsteady inputs
         K    the longest list of swaps that is ever needed, min(max_cycles, in)

One swap revives ("grows") the pruned j with the largest σ·D_j / Var[x_j]^p among σ·D_j > 0, and prunes the kept k of
least saliency among σ·D_k < 0; both bring Δ towards zero: Δ ← Δ − D_j + D_k. Under n:m, k is the least salient kept
weight of j's own group whatever its sign. No weight is swapped twice, so the order in which the weights of one sign come
up never changes: the i-th swap made under sign σ is always the i-th pair of a list that can be written down beforehand.
That is how all rows are refined at once, without a loop over rows: two lists (one per sign) and a walk along them.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Swaps:
    """The pairs of one sign in the order in which they are tried; indices of inputs, (out, K)."""

    grown: Tensor
    pruned: Tensor
    change: Tensor  # what each swap adds to Δ, (out, K)
    available: Tensor  # how many of the K pairs of a row are legal, (out,)


class Stop(IntEnum):
    """Why a row made no further swap."""

    THRESHOLD = 0  # |Δ| is small enough
    NO_PAIR = 1  # no legal pair is left
    SIGN_CHANGE = 2  # the next swap would have turned the sign of Δ
    MAX_CYCLES = 3


@dataclass(frozen=True)
class Walked:
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
    """The mask that `walk` ends with; its arguments are explained there."""
    return walk(
        weight,
        pruned,
        mean=mean,
        variance=variance,
        saliency=saliency,
        max_cycles=max_cycles,
        threshold=threshold,
        variance_power=variance_power,
        stop_on_sign_change=stop_on_sign_change,
        pattern=pattern,
    ).pruned


def walk(
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
    pattern: tuple[int, int] | None,
) -> Walked:
    """At most `max_cycles` swaps in each row; rows and groups keep their number of pruned weights.

    A row stops for good when |Δ| ≤ threshold, when no legal pair is left, after `max_cycles` swaps or, with
    `stop_on_sign_change`, before the swap after which Δ would not have the sign it had at the start.

    Args:
        weight: (out, in) float32.
        pruned: (out, in) bool, True = pruned. Nothing is changed in place.
        mean: E[x_j], (in,).
        variance: Var[x_j], (in,).
        saliency: (out, in); the kept weight that helps and has the least of it is pruned first.
        max_cycles: most swaps per row.
        threshold: in the unit of `weight · mean`.
        variance_power: p ≥ 0; 0 takes no account of the variance.
        stop_on_sign_change: the sign rule. Under a pattern it is always on.
        pattern: None, or (n, m).
    """
    contribution = weight * mean  # D
    error = (contribution * pruned).sum(dim=1)  # Δ, (out,)
    score = contribution.abs() / variance.pow(variance_power)
    length = min(max_cycles, weight.shape[1])
    if length == 0:
        return Walked(pruned.clone(), torch.full_like(error, Stop.MAX_CYCLES, dtype=torch.int64))

    def swaps_under(sign: Tensor) -> _Swaps:
        helps = contribution * sign[:, None]  # σ·D
        if pattern is None:
            return _pairs_anywhere(contribution, helps, pruned, score, saliency, length)
        return _pairs_within_groups(contribution, helps, pruned, score, saliency, length, group=pattern[1])

    if stop_on_sign_change or pattern is not None:
        swaps = [swaps_under(error.sign())]
        used, stops = _walk_keeping_sign(error, swaps[0], threshold)
    else:
        swaps = [swaps_under(torch.ones_like(error)), swaps_under(-torch.ones_like(error))]
        used, stops = _walk_both_signs(error, swaps, threshold)
    return Walked(_apply(pruned, swaps, used), stops)


def _pairs_anywhere(contribution: Tensor, helps: Tensor, pruned: Tensor, score: Tensor, saliency: Tensor, length: int) -> _Swaps:
    """Unstructured rows: the i-th best weight to grow goes with the i-th least salient weight to prune."""
    growable, prunable = pruned & (helps > 0), ~pruned & (helps < 0)
    grown = score.masked_fill(~growable, -torch.inf).topk(length, dim=1).indices
    least = saliency.masked_fill(~prunable, torch.inf).topk(length, dim=1, largest=False).indices
    available = torch.minimum(growable.sum(dim=1), prunable.sum(dim=1))
    return _Swaps(grown, least, contribution.gather(1, least) - contribution.gather(1, grown), available)


def _pairs_within_groups(
    contribution: Tensor, helps: Tensor, pruned: Tensor, score: Tensor, saliency: Tensor, length: int, *, group: int
) -> _Swaps:
    """n:m rows: the i-th best weight to grow in a group goes with the i-th least salient kept weight of that group.

    A group can swap no more weights than it keeps; the candidates beyond that are not legal.
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
    """How many pairs each row takes, (out,), when a swap that would turn the sign of Δ ends the row; and why each stopped."""
    sign, used, stops = error.sign(), torch.zeros_like(swaps.available), _going(swaps.available)
    for step in range(swaps.change.shape[1]):
        after = error + swaps.change[:, step]
        stops = _stop(stops, error.abs() <= threshold, step >= swaps.available, after.sign() != sign)
        goes_on = stops == Stop.MAX_CYCLES
        error, used = torch.where(goes_on, after, error), used + goes_on
    return [used], stops


def _walk_both_signs(error: Tensor, swaps: list[_Swaps], threshold: float) -> tuple[list[Tensor], Tensor]:
    """The same without the sign rule: each swap comes from the list of the sign that Δ has at that moment."""
    change = torch.stack([side.change for side in swaps])  # (2, out, K); side 0 is σ = +1
    available = torch.stack([side.available for side in swaps])  # (2, out)
    used, rows, last = torch.zeros_like(available), torch.arange(len(error), device=error.device), change.shape[2] - 1
    stops, never = _going(available[0]), torch.zeros_like(error, dtype=torch.bool)
    for _ in range(change.shape[2]):
        side = (error < 0).long()
        step = used[side, rows]
        stops = _stop(stops, error.abs() <= threshold, step >= available[side, rows], never)
        goes_on = stops == Stop.MAX_CYCLES
        error = torch.where(goes_on, error + change[side, rows, step.clamp(max=last)], error)
        used[side, rows] = step + goes_on
    return list(used), stops


def _going(rows: Tensor) -> Tensor:
    """No row has stopped: as long as nothing else happens, it will at the end of all cycles."""
    return torch.full_like(rows, Stop.MAX_CYCLES, dtype=torch.int64)


def _stop(stops: Tensor, is_small: Tensor, has_no_pair: Tensor, turns_sign: Tensor) -> Tensor:
    """Note the first reason that holds, for the rows that still go on."""
    reason = torch.where(turns_sign, Stop.SIGN_CHANGE, Stop.MAX_CYCLES)
    reason = torch.where(is_small, Stop.THRESHOLD, torch.where(has_no_pair, Stop.NO_PAIR, reason))
    return torch.where(stops == Stop.MAX_CYCLES, reason, stops)


def _apply(pruned: Tensor, swaps: list[_Swaps], used: list[Tensor]) -> Tensor:
    """Turn over the first `used` pairs of every list. No weight comes up twice, so one flip each is enough."""
    flips = torch.zeros_like(pruned, dtype=torch.int8)
    for side, count in zip(swaps, used, strict=True):
        taken = torch.arange(side.grown.shape[1], device=pruned.device) < count[:, None]
        flips.scatter_add_(1, side.grown, taken.to(torch.int8))
        flips.scatter_add_(1, side.pruned, taken.to(torch.int8))
    return pruned ^ flips.bool()
