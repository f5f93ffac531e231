"""Correction of a walk without numbers for the swap refinement's loops, whose length depends on numbers.

One chunk of rows is refined at an eighth of its rows and columns, with random weights and correlated inputs computed by the CPU,
and with the same shapes without numbers; the correction is the difference. Rates are scaled such that seconds are those of the
whole chunk: bytes grow with the square of the scale, FLOP with its cube.
"""

from dataclasses import replace
from typing import Final
from unittest import mock

import torch
from torch import Tensor

from benchmarks._gpu_walk import Work
from benchmarks._synthetic import Shape
from service.contract.engine_sizes import SWAPPED_WEIGHTS
from service.contract.recipe.choices import Objective
from service.contract.recipe.recipe import Recipe
from service.contract.recipe.refinement import SwapsRefinement
from tests.support.strict_device import Rates, strict_cuda
from worker.engine.methods import swaps
from worker.engine.methods.patterns import select_pruned
from worker.engine.methods.saliency import wanda
from worker.engine.methods.swap_gains import CHUNK

SCALE: Final = 8
_COMMON: Final = 16
"""Random directions that the inputs have in common, which correlate them."""


def loops_of_block(shape: Shape, recipe: Recipe) -> Work:
    """Return the correction for all matrices of a block; none if the recipe has no swaps."""
    work = Work()
    if isinstance(recipe.refinement, SwapsRefinement):
        is_propagated = recipe.objective is Objective.PROPAGATED
        for columns, weights in _weights_by_columns(shape).items():
            chunk = loops_of_chunk(columns, recipe.refinement.max_swaps, is_propagated=is_propagated)
            work.add(chunk, weights / SWAPPED_WEIGHTS)
    return work


def loops_of_chunk(columns: int, max_swaps: int, *, is_propagated: bool, scale: int = SCALE) -> Work:
    """Return the correction for one chunk of rows with `columns` columns."""
    work = Work()
    for has_numbers, sign in ((True, 1), (False, -1)):
        work.add(_work(columns, max_swaps, scale, is_propagated=is_propagated, has_numbers=has_numbers), sign)
    work.cost.memory_bytes *= scale**2
    work.cost.flop *= scale**3
    return work


def _work(columns: int, max_swaps: int, scale: int, *, is_propagated: bool, has_numbers: bool) -> Work:
    rows, width = max(1, SWAPPED_WEIGHTS // columns // scale), columns // scale
    usual = Rates()
    bytes_, flop = scale**2, scale**3
    rates = replace(
        usual, memory=usual.memory / bytes_, half=usual.half / flop, single=usual.single / flop, double=usual.double / flop
    )
    smaller = SWAPPED_WEIGHTS // bytes_
    chunks = mock.patch.dict(CHUNK, cuda=CHUNK["cuda"] // bytes_)
    weight, inputs = _example(rows, width)
    with mock.patch.object(swaps, "SWAPPED_WEIGHTS", smaller), chunks, strict_cuda(numbers=has_numbers, rates=rates) as cuda:
        w, x = weight.to("cuda"), inputs.to("cuda")
        gram = x.T @ x
        first = select_pruned(wanda(w, gram.diagonal().sqrt()), sparsity=0.5)
        targets = w @ (gram * 1.01) if is_propagated else None
        start, moment = cuda.counts.total, cuda.counts.seconds
        swaps.swap(w, first, gram=gram, max_swaps=max_swaps, target_products=targets)
        return Work(cuda.counts.total.add(start, -1), cuda.counts.seconds - moment)


def _example(rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Return weights (rows, width) and inputs (width, width) of different sizes that correlate."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    sizes = normal(width).exp()
    return normal(rows, width), (normal(width, width) + normal(width, _COMMON) @ normal(_COMMON, width)) * sizes


def _weights_by_columns(shape: Shape) -> dict[int, int]:
    """Return the weights of a block's matrices by their number of columns."""
    wide = shape.width * shape.inner
    return {shape.width: shape.block_parameters - 2 * shape.width - wide, shape.inner: wide}
