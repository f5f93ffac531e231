"""Exact swaps: exchange pruned and kept weights, row by row, until no single swap reduces the reconstruction error.

Paper: Zimmer et al., arXiv:2512.10922 (the exact change of a row's error by one swap, on the Gram matrix).

Axes:    W and masks (out, in); G = Σ x xᵀ (in, in); rows being refined (rows, in); one number per row (rows, 1).
Symbols: z    W_j √G_jj, divided by the largest that is pruned in its row: the weights scaled by their contribution
         ρ    G_ij / √(G_ii G_jj), correlations
         y    2ρ(z where pruned): the gradient of the row's error with respect to the pruned part of each input. For
              targets other than W's own outputs, minus 2(W G − B)_j / √G_jj in the units of z, B = Σ y xᵀ, y the targets
         u, v the kept weight that a swap prunes and the pruned weight that it revives
         a_u  z_u² + z_u y_u      change of the row's error by pruning u alone
         b_v  z_v² − z_v y_v      change of the row's error by reviving v alone
         D_u  min over v of a_u + b_v − 2 z_u z_v ρ_uv      change by the best swap that prunes u; an improvement if < 0

Two stages alternate. The greedy stage prunes the u of least a_u, revives the best v given u, and updates y: two rows of ρ
and a few passes over one row per swap. It leaves a row after several u without an improvement. The exact stage computes D
for every u that could improve the row and swaps in the order of D, checking each swap against the current y. A row is
finished only when no D is negative: then no legal swap improves it. Under n:m both weights of a pair are in one group, D
is cheap, and only the exact stage runs. One computation of D serves several swaps. A stage ends when half of its rows are
finished, so the swaps of a row may depend on the other rows in its chunk; but every swap made is an improvement.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from service.contract.engine_sizes import SWAPPED_WEIGHTS
from worker.engine.linear import product
from worker.engine.methods.swap_gains import CHUNK, FAR, Correlations, best_anywhere, best_within_groups, correlations

ROUNDING = 2.0**-21  # gains below this share of the row's Σ|z| · max|z| over its pruned weights count as rounding
PATIENCE = 4  # consecutive u without an improvement after which the greedy stage leaves a row
FEW = 4  # the greedy stage ends when at most 1/FEW of the rows are still in it
LISTED = 16  # number of u that the exact stage tries per computation of D


@dataclass(frozen=True)
class _Rows:
    """State of the rows being refined. All but z and least is changed in place."""

    z: Tensor  # (rows, in)
    y: Tensor  # (rows, in)
    kept: Tensor  # z² where kept, FAR where pruned or tried without an improvement, (rows, in)
    gone: Tensor  # z² where pruned, FAR where kept, (rows, in)
    left: Tensor  # remaining swaps of the row, (rows, 1)
    least: Tensor  # gains must exceed this, (rows, 1)

    def copied(self, members: Tensor) -> "_Rows":
        return _Rows(*(state.index_select(0, members) for state in vars(self).values()))


@dataclass(frozen=True)
class _Rule:
    shared: Correlations
    group: int | None  # m of the pattern
    order: Tensor  # 0, 1, …, in − 1, int32


def refine_by_swaps(
    weight: Tensor, pruned: Tensor, *, gram: Tensor, max_swaps: int, pattern: tuple[int, int] | None = None
) -> Tensor:
    """Return the refined mask, (out, in) bool; the arguments are those of `swap`, with `pattern` (n, m) for groups of m."""
    return swap(weight, pruned, gram=gram, max_swaps=max_swaps, group=pattern and pattern[1])


def swap(
    weight: Tensor,
    pruned: Tensor,
    *,
    gram: Tensor,
    max_swaps: int,
    group: int | None = None,
    target_products: Tensor | None = None,
) -> Tensor:
    """Return the mask after at most `max_swaps` swaps in each row; rows and groups keep their number of pruned weights.

    The error of no row rises: p G pᵀ − 2 p (W G − B)ᵀ, p its pruned part. With enough swaps the mask is a local optimum:
    no legal swap of two weights of a row improves it by more than rounding.

    Args:
        weight: (out, in) float32.
        pruned: (out, in) bool, True = pruned. Nothing is changed in place.
        gram: Σ x xᵀ or any positive multiple of it, (in, in) float32.
        max_swaps: maximum number of swaps per row.
        group: both weights of a swap are in the same group of this many consecutive inputs; None: anywhere in the row.
        target_products: B = Σ y xᵀ, (out, in) float32 on the scale of G, y the target outputs; None stands for W G.

    Returns:
        The new mask, (out, in) bool.
    """
    if max_swaps == 0:
        return pruned.clone()
    rule = _Rule(correlations(gram), group, torch.arange(len(gram), dtype=torch.int32, device=gram.device))
    size = gram.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(size > 0, 1 / size, 0.0)
    excess = None if target_products is None else product(weight, gram).sub_(target_products)
    refined = torch.empty_like(pruned)
    for some in torch.split(torch.arange(len(weight), device=weight.device), max(1, SWAPPED_WEIGHTS // weight.shape[1])):
        bias = None if excess is None else excess[some] * inverse
        slab = _start(weight[some] * size, pruned[some], bias, rule, max_swaps)
        _refine(slab, rule)
        refined[some] = slab.gone < FAR / 2
    return _keep_gains(weight, pruned, refined, gram, excess)


def _start(z: Tensor, pruned: Tensor, bias: Tensor | None, rule: _Rule, max_swaps: int) -> _Rows:
    share = pruned.float()  # on a CPU, arithmetic with a float mask is many times faster than `where`
    unit = (z * share).abs().amax(dim=1, keepdim=True)
    unit = torch.where(unit > 0, unit, 1.0)
    z = z / unit
    square, part = z.square(), z * share
    left = torch.full((len(z), 1), max_swaps, dtype=torch.int64, device=z.device)
    least = part.abs().sum(dim=1, keepdim=True) * ROUNDING
    y = product(part, rule.shared.doubled)
    if bias is not None:
        y -= bias.mul_(2 / unit)
    return _Rows(z, y, torch.add(square, share, alpha=FAR), torch.add(square, 1 - share, alpha=FAR), left, least)


def _refine(rows: _Rows, rule: _Rule) -> None:
    """Run the stages, in chunks, on the rows that are not finished."""
    chunk = max(1, CHUNK[rows.z.device.type] // rows.z.shape[1])

    def after(stage: Callable[[_Rows, _Rule], Tensor], chunks: Iterable[Tensor]) -> Tensor:
        going = []
        for some in chunks:
            part = rows.copied(some)
            going.append(some[stage(part, rule)])
            for name in ("y", "kept", "gone", "left"):
                getattr(rows, name).index_copy_(0, some, getattr(part, name))
        return torch.cat(going)

    pending = torch.arange(len(rows.z), device=rows.z.device)
    while len(pending):
        active = pending
        while rule.group is None and FEW * len(active) > len(pending):  # the exact stage takes over the last rows
            active = after(_greedy, torch.split(active, chunk))
        # rows without swaps left are taken out of their chunks, not before chunking: who shares a chunk decides when it ends
        pending = after(_exact, (some[rows.left[some, 0] > 0] for some in torch.split(pending, chunk)))


def _greedy(rows: _Rows, rule: _Rule) -> Tensor:
    """Swap greedily until half of the rows are finished; return the rows that are not, (rows,) bool."""
    score, patience = torch.empty_like(rows.z), torch.full_like(rows.left, PATIENCE)
    alive = rows.left[:, 0] > 0
    while 2 * alive.sum() > len(alive):
        u = _first_of(torch.addcmul(rows.kept, rows.z, rows.y, out=score), rule.order)
        pays = _swap(rows, rule, u, alive, score)
        patience = torch.where(pays, PATIENCE, patience - 1)
        alive = alive & ((patience > 0) & (rows.left > 0))[:, 0]
    return alive


def _exact(rows: _Rows, rule: _Rule) -> Tensor:
    """Swap in the order of D until half of the rows have tried all D < 0; return the rows that swapped, (rows,) bool."""
    rows.kept.copy_(rows.z.square().add_((rows.gone < FAR / 2).float(), alpha=FAR))  # all kept u are candidates again
    a, b = torch.addcmul(rows.kept, rows.z, rows.y), torch.addcmul(rows.gone, rows.z, rows.y, value=-1)
    if rule.group:
        best = best_within_groups(a, b, rows.z, group=rule.group, shared=rule.shared)  # D
    else:
        best = best_anywhere(a, b, rows.z, least=rows.least, shared=rule.shared)
    change, order = best.topk(min(LISTED, best.shape[1]), largest=False)
    before, hopeful = rows.left.clone(), ((change[:, :1] < -rows.least) & (rows.left > 0))[:, 0]
    start = hopeful.sum()
    for promised, u in zip(torch.split(change, 1, dim=1), torch.split(order, 1, dim=1), strict=True):
        hopeful = hopeful & ((promised < -rows.least) & (rows.left > 0))[:, 0]
        if 2 * hopeful.sum() <= start:
            break
        _swap(rows, rule, u, hopeful, a)
    return ((rows.left < before) & (rows.left > 0))[:, 0]


def _first_of(score: Tensor, order: Tensor) -> Tensor:
    """Return the approximate argmin of each row, (rows, 1), within a few thousandths of the minimum. Overwrites `score`.

    The index is stored in the lowest bits, so the minimum carries it along; `min` with an index is ten times slower on a
    CPU.
    """
    low = (1 << (len(order) - 1).bit_length()) - 1
    score.view(torch.int32).bitwise_and_(~low).bitwise_or_(order)
    return score.amin(dim=1, keepdim=True).view(torch.int32).bitwise_and_(low).long()


def _swap(rows: _Rows, rule: _Rule, u: Tensor, allowed: Tensor, score: Tensor) -> Tensor:
    """Prune u and revive the best v, where allowed and an improvement; return where it was. Overwrites `score`.

    Args: u and the result (rows, 1), allowed (rows,).
    """
    z_u = rows.z.gather(1, u)
    rows.y.addcmul_(torch.index_select(rule.shared.doubled, 0, u[:, 0], out=score), z_u)
    if rule.group:
        v = _best_partner(rows, u, rule.group)
    else:
        v = _first_of(torch.addcmul(rows.gone, rows.z, rows.y, value=-1, out=score), rule.order)
    pair = torch.cat([u, v], dim=1)
    z, kept, gone = rows.z.gather(1, pair), rows.kept.gather(1, pair), rows.gone.gather(1, pair)
    slope = z * rows.y.gather(1, pair)  # for u, y already includes the 2z_u² from pruning u
    change = kept[:, :1] - 2 * z_u.square() + slope[:, :1] + gone[:, 1:] - slope[:, 1:]
    pays = (change < -rows.least) & allowed[:, None]
    back = pair.gather(1, pays.long())  # v is revived, or u again
    rows.y.addcmul_(torch.index_select(rule.shared.doubled, 0, back[:, 0], out=score), rows.z.gather(1, back), value=-1)
    rows.kept.scatter_(1, pair, torch.where(pays, gone, FAR))
    rows.gone.scatter_(1, pair, torch.where(pays, kept, gone))
    rows.left.sub_(pays.long())
    return pays


def _best_partner(rows: _Rows, u: Tensor, group: int) -> Tensor:
    """Return the v of least b_v in the group of u, (rows, 1)."""
    start = u // group * group
    members = start + torch.arange(group, device=u.device)  # (rows, m)
    cost = rows.gone.gather(1, members) - rows.z.gather(1, members) * rows.y.gather(1, members)
    return start + cost.argmin(dim=1, keepdim=True)


def _keep_gains(weight: Tensor, pruned: Tensor, refined: Tensor, gram: Tensor, excess: Tensor | None) -> Tensor:
    """Return the mask `refined` for every row whose error falls by more than this check's rounding, else `pruned`.

    p′Gp′ − pGp is computed as (p′ − p) G (p′ + p), because subtracting two large errors would cancel; the term of
    `excess`, W G − B, likewise.
    """
    before, after = weight * pruned, weight * refined
    change, total = after - before, after + before
    slope = product(total, gram)
    if excess is not None:
        slope -= 2 * excess
    rise = (change * slope).sum(dim=1, dtype=torch.float64)
    size = gram.diagonal().clamp(min=0).sqrt()
    rounding = (change.abs() @ size).double() * (total.abs() @ size) * ROUNDING
    return torch.where((rise < -rounding)[:, None], refined, pruned)
