"""How sparse each block is, when the whole is to reach a given sparsity.

Symbols: s  the share of weights that the recipe asks to prune, 0 ≤ s < 1
         s_b  the share that block b prunes; Σ s_b / blocks = s, because the blocks of a decoder are of one size.
"""

from enum import StrEnum


class Allocation(StrEnum):
    """The rule that divides the sparsity among the blocks."""

    UNIFORM = "uniform"


def block_sparsities(allocation: Allocation, sparsity: float, blocks: int) -> tuple[float, ...]:
    """s_b for every block: under `uniform`, as in Wanda and DSnoT, the same for all."""
    assert allocation is Allocation.UNIFORM
    return (sparsity,) * blocks
