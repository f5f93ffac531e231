"""Exact gain of the best swap of every kept weight, with bounds that avoid evaluating all pairs.

Paper: Zimmer et al., arXiv:2512.10922 (the change of a row's error by one swap). The bounds are new here.

Axes:    a, b, z (rows, in); ρ (in, in); a "pair" is one weight of one row, (pairs,).
Symbols: z    the weights scaled by their contribution to the output: W_j √G_jj, times a factor per row
         ρ    correlations G_ij / √(G_ii G_jj); `doubled` is 2ρ
         a_u  change of the row's error by pruning the kept weight u alone; FAR where u may not be pruned
         b_v  change of the row's error by reviving the pruned weight v alone; FAR where v may not be revived
         D_u  = a_u + min over v of b_v − 2 z_u z_v ρ_uv      change by the best swap that prunes u; an improvement if < 0
         FAR  a finite stand-in for infinity, so that arithmetic gives no NaN

A row of n kept and pruned weights has n²/4 pairs, too many to evaluate. The coupling of u and v is at most
2|z_u z_v| max|ρ_u|, and this bound rules out all but one u in ten. The inputs that correlate most with u are then
evaluated exactly, which lowers the maximum over the others and leaves one u in thirty. Only these are compared with
every v.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

FAR = 1e30
CHORDS = 6  # linear pieces of the bound
CLOSE = 16  # most correlated partners of u, evaluated before all others
CHUNK = {"cpu": 1 << 18, "cuda": 1 << 22}  # elements processed at a time: fits a CPU cache or fills a GPU


@dataclass(frozen=True)
class Correlations:
    """Correlations between the inputs of a layer, prepared for the search for swaps."""

    doubled: Tensor  # 2ρ, (in, in)
    close: Tensor  # the CLOSE inputs that correlate most with each, (in, CLOSE)
    reach: Tensor  # max over j ≠ i of 2|ρ_ij|, (in,)
    far_reach: Tensor  # the same maximum without the CLOSE inputs, (in,)


def correlations(gram: Tensor) -> Correlations:
    """Return the correlations from Σ x xᵀ, (in, in); an input that is always zero has only zeros, its own included."""
    size = gram.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(size > 0, 1 / size, 0.0)
    doubled = (gram * (2 * inverse)[:, None]).mul_(inverse)
    close = min(CLOSE, len(size) - 1)
    strongest = doubled.abs().fill_diagonal_(0.0).topk(close + 1, dim=1)
    return Correlations(doubled, strongest.indices[:, :close], strongest.values[:, 0], strongest.values[:, close])


def best_within_groups(a: Tensor, b: Tensor, z: Tensor, *, group: int, shared: Correlations) -> Tensor:
    """Return D under n:m, (rows, in): every u is compared with the m − 1 others of its group."""
    column = torch.arange(z.shape[1], device=z.device)
    best = torch.full_like(b, FAR)
    for distance in range(1, group):
        partner = column // group * group + (column + distance) % group
        joint = z.index_select(1, partner).mul_(z)
        torch.minimum(best, b.index_select(1, partner).addcmul_(joint, shared.doubled[column, partner], value=-1), out=best)
    return best.add_(a)


def best_anywhere(a: Tensor, b: Tensor, z: Tensor, *, least: Tensor, shared: Correlations) -> Tensor:
    """Return D, (rows, in), of every u that may improve its row by more than `least` (rows, 1), and FAR for the others."""
    size = z.abs()
    reach = size * shared.reach
    chords = _chords(b, size, reach.amax(dim=1, keepdim=True))
    row, u = (_below(chords, reach).add_(a) < -least).nonzero().unbind(dim=1)
    a_u, z_u = a[row, u][:, None], z[row, u][:, None]
    best = _with_close_partners(b, z, row, u, shared)
    rest = a_u + _below([chord[row] for chord in chords], z_u.abs() * shared.far_reach[u, None]) < -least[row]
    for pairs in torch.split(rest.nonzero()[:, 0], max(1, CHUNK[z.device.type] // z.shape[1])):
        joint = shared.doubled.index_select(0, u[pairs]).mul_(z.index_select(0, row[pairs]))
        best[pairs] = b.index_select(0, row[pairs]).addcmul_(joint, z_u[pairs], value=-1).amin(dim=1)
    return torch.full_like(a, FAR).index_put_((row, u), best + a_u[:, 0])


def _with_close_partners(b: Tensor, z: Tensor, row: Tensor, u: Tensor, shared: Correlations) -> Tensor:
    """Return the minimum of b_v − 2 z_u z_v ρ_uv over the inputs v that correlate most with u, (pairs,)."""
    width, v = z.shape[1], shared.close[u]  # (pairs, CLOSE)
    of_row, of_u = row[:, None] * width, u[:, None]
    joint = z.take(of_row + of_u) * z.take(of_row + v) * shared.doubled.take(of_u * width + v)
    return (b.take(of_row + v) - joint).amin(dim=1) if v.shape[1] else torch.full_like(row, FAR, dtype=z.dtype)


def _chords(b: Tensor, size: Tensor, longest: Tensor) -> list[Tensor]:
    """Return chords (left end, height there, slope), each (rows, 3), of min over v of b_v − t|z_v| as a function of t.

    At t = |z_u| · max 2|ρ_u| the function is a lower bound on D_u − a_u. It is concave, so its chords are below it. Most t
    are far below the largest, so the chords are denser near zero.
    """
    ends = [longest * (i / CHORDS) ** 3 for i in range(CHORDS + 1)]
    heights = [torch.addcmul(b, size, end, value=-1).amin(dim=1, keepdim=True) for end in ends]
    gaps = [(end - start).clamp(min=torch.finfo(end.dtype).tiny) for start, end in pairwise(ends)]
    slopes = [(end - start) / gap for (start, end), gap in zip(pairwise(heights), gaps, strict=True)]
    return [torch.cat(chord, dim=1) for chord in zip(ends[:-1], heights[:-1], slopes, strict=True)]


def _below(chords: list[Tensor], t: Tensor) -> Tensor:
    """Return the bound at every t, (rows, any)."""
    bound, line = torch.full_like(t, FAR), torch.empty_like(t)
    for chord in chords:
        start, height, slope = torch.split(chord, 1, dim=1)
        torch.minimum(bound, torch.mul(t, slope, out=line).add_(height - slope * start), out=bound)
    return bound
