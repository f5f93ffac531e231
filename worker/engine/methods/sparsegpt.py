"""OBS (optimal brain surgeon): SparseGPT's left-to-right sweep, in which later columns compensate each pruned weight.

Papers: Hassibi and Stork, 1993 (optimal brain surgeon); Frantar and Alistarh, SparseGPT, arXiv:2301.00774, algorithm 1.

Axes:    W and masks (out, in); G, U (in, in); a block of columns, transposed for contiguous columns, (block, out).
Symbols: G    = Σ x xᵀ over tokens
         U    upper triangular with (G + damping)⁻¹ = Uᵀ U (`hessian.py`)
         U_jj² = [H⁻¹]_jj with the columns before j frozen, as they are when the sweep reaches column j
         E_j  error of pruning W_j, in units of U_jj: the columns k > j change by −E_j U_jk

The paper's W²/[H⁻¹]²_jj is W²/U_jj²: in its algorithm and its code, H⁻¹ has been overwritten by U at that point.
"""

import torch
from torch import Tensor

from service.contract.recipe.pattern import Pattern
from worker.engine.linear import product
from worker.engine.methods.hessian import inverse_factor
from worker.engine.methods.patterns import count_of, select

BLOCK = 128  # columns, as in the released code


def obs_saliency(weight: Tensor, inverse_diagonal: Tensor) -> Tensor:
    """Return W²/U_jj², (out, in): half the error of pruning W_j when all weights to its right compensate.

    `inverse_diagonal` (in,) is the diagonal of U, not of H⁻¹.
    """
    return (weight / inverse_diagonal).square()


def update_by_obs(
    weight: Tensor,
    gram: Tensor,
    *,
    pattern: Pattern | None = None,
    pruned: Tensor | None = None,
    block: int = BLOCK,
    damping: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Return the weights after SparseGPT's sweep, zero where pruned, and the mask.

    The mask is given, or selected during the sweep from the updated weights:
    * unstructured: as in the released code, one threshold per block of columns over all rows, so the sparsity of rows
      differs; together the blocks prune exactly ⌊sparsity · out · in⌋ weights.
    * a pattern with groups: the least salient of every group, selected when the sweep reaches the group.

    Weights on inputs that are always zero are pruned first.

    Args:
        weight: (out, in) float32.
        gram: Σ x xᵀ or any positive multiple of it, (in, in) float32.
        pattern: which weights to prune.
        pruned: (out, in) bool, True = pruned. Give exactly one of these two.
        block: columns per block; rounded down to whole groups.
        damping: share of the mean diagonal that is added to the diagonal of G.

    Returns:
        The new weights (out, in) float32 and the mask (out, in) bool.
    """
    if (pattern is None) == (pruned is None):
        raise ValueError("Give exactly one of pattern and pruned.")
    factor, live = inverse_factor(gram, damping), gram.diagonal() > 0
    new, mask = weight.clone(), torch.zeros_like(weight, dtype=torch.bool) if pruned is None else pruned.clone()
    group = (pattern and pattern.group) or 1
    for columns in torch.split(torch.arange(weight.shape[1]), max(group, block // group * group)):
        first, last = int(columns[0]), int(columns[-1]) + 1
        here = slice(first, last)
        scale = torch.where(live, factor.diagonal(), torch.inf)[here]
        if pattern is not None and pattern.group is None:
            quota = count_of(pattern.pruned_share, len(weight) * last) - count_of(pattern.pruned_share, len(weight) * first)
            mask[:, here] = _least(obs_saliency(new[:, here], scale), quota)
        new[:, here], mask[:, here], errors = _sweep(new[:, here], mask[:, here], factor[here, here], scale, pattern)
        new[:, last:] -= product(errors, factor[here, last:].T.contiguous())
    return new, mask


def _least(saliency: Tensor, count: int) -> Tensor:
    """Return the mask of the `count` smallest of a whole matrix."""
    pruned = torch.zeros(saliency.numel(), dtype=torch.bool, device=saliency.device)
    pruned[saliency.flatten().argsort(stable=True)[:count]] = True
    return pruned.reshape(saliency.shape)


def _sweep(
    weight: Tensor, pruned: Tensor, factor: Tensor, scale: Tensor, pattern: Pattern | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sweep one block, column by column; return its new weights, its mask and the errors E for the columns after it.

    All are (out, columns of the block).
    """
    columns, mask = weight.T.contiguous(), pruned.T.contiguous()
    diagonal, errors = factor.diagonal()[:, None], torch.zeros_like(columns)
    divisor = torch.where(mask, diagonal, torch.inf)  # of a column's errors, which are zero where it is kept
    for j in range(len(columns)):
        if pattern and pattern.group and j % pattern.group == 0:
            group = slice(j, j + pattern.group)
            mask[group] = select(obs_saliency(columns[group].T, scale[group]), pattern).T
            divisor[group] = torch.where(mask[group], diagonal[group], torch.inf)
        torch.div(columns[j], divisor[j], out=errors[j])  # two kernels per column, because their launches take the time
        columns[j:].addr_(factor[j, j:], errors[j], alpha=-1)
    return columns.masked_fill_(mask, 0.0).T, mask.T, errors.T.contiguous()
