"""Mask selection: the least salient weights under an unstructured or n:m pattern.

Papers: per-row selection is Wanda's (arXiv:2306.11695, section 3); n:m as in Mishra et al. (arXiv:2104.08378).

Axes:    saliency and pruned are (out, in); True in `pruned` means that the weight is pruned.
Symbols: s     sparsity; in every row the ⌊s · in⌋ least salient weights are pruned
         n:m   of every m consecutive inputs of a row at most n are kept; the m − n least salient are pruned
Ties are broken by the lowest index, so a mask depends on the saliencies alone.
"""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from service.contract.recipe.pattern import Pattern, Unstructured


def count_of(sparsity: float, total: int) -> int:
    """Return ⌊s · total⌋ with s as the decimal number that is given: 0.29 of 100 is 29, in floating point 28."""
    return int(Fraction(str(sparsity)) * total)


def released_count_of(sparsity: float, total: int) -> int:
    """Return the count as the released DSnoT code computes it, in floating point."""
    return int(total * sparsity)


def select_pruned(saliency: Tensor, *, sparsity: float | None = None, pattern: tuple[int, int] | None = None) -> Tensor:
    """Return the mask that prunes the least salient weights.

    Args:
        saliency: (out, in) float32, no NaN.
        sparsity: share s of each row to prune, 0 ≤ s < 1.
        pattern: (n, m) with 1 ≤ n < m and m a divisor of `in`. Give exactly one of the two.

    Returns:
        pruned, (out, in) bool.

    Raises:
        ValueError: neither or both of sparsity and pattern are given, or one is out of range.
    """
    if (sparsity is None) == (pattern is None):
        raise ValueError("Give exactly one of sparsity and pattern.")
    if pattern is not None:
        return _least_of_each_group(saliency, *pattern)
    assert sparsity is not None
    if not 0 <= sparsity < 1:
        raise ValueError(f"Sparsity must be at least 0 and below 1, not {sparsity}.")
    return _least_of_each_row(saliency, count_of(sparsity, saliency.shape[1]))


def select(saliency: Tensor, pattern: Pattern, share: float = 1.0, *, count: Callable[[float, int], int] = count_of) -> Tensor:
    """Return the mask under the pattern, or of the least salient `share`, 0 to 1, of the weights that it prunes in every row.

    `count` rounds the number of weights that a sparsity prunes in a row.
    """
    if isinstance(pattern, Unstructured):
        return _least_of_each_row(saliency, int(count(pattern.sparsity, saliency.shape[1]) * share))
    pruned = _least_of_each_group(saliency, pattern.n, pattern.m)
    if share == 1:
        return pruned
    in_row = int(pruned[:1].sum())  # the same in every row
    return _least_of_each_row(saliency.masked_fill(~pruned, torch.inf), int(in_row * share))


def _least_of_each_row(saliency: Tensor, count: int) -> Tensor:
    """Return the mask of the `count` smallest of every row, by `kthvalue`, which is cheaper than a stable sort."""
    if count == 0:
        return torch.zeros_like(saliency, dtype=torch.bool)
    bound = saliency.kthvalue(count, dim=1, keepdim=True).values  # (out, 1)
    below, equal = saliency < bound, saliency == bound
    room = count - below.sum(dim=1, keepdim=True)  # how many of the ties are pruned, at least one
    if torch.equal(equal.sum(dim=1, keepdim=True), room):
        return below | equal
    return below | (equal & (equal.cumsum(dim=1) <= room))


def _least_of_each_group(saliency: Tensor, n: int, m: int) -> Tensor:
    """Return the mask of the m − n smallest of every m consecutive weights of a row."""
    rows, width = saliency.shape
    if not 1 <= n < m:
        raise ValueError(f"A pattern n:m needs 1 ≤ n < m, not {n}:{m}.")
    if width % m:
        raise ValueError(f"The pattern {n}:{m} needs a number of inputs that {m} divides, not {width}.")
    order = saliency.reshape(rows, width // m, m).argsort(dim=2, stable=True)  # least salient first
    pruned = torch.zeros(order.shape, dtype=torch.bool, device=saliency.device)
    return pruned.scatter_(2, order[:, :, : m - n], value=True).reshape(rows, width)
