"""Pruned matrices by block and by kind, as in the report's tables."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.contract.matrices import MatrixReport
from worker.engine.report import Summary

_BLOCK = re.compile(r"^(?P<stem>.*?)\.(?P<block>\d+)\.(?P<rest>.+)$")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Row:
    """Row of one block."""

    label: str
    summary: Summary
    by_kind: dict[str, float]
    """Sparsity of the block's matrices of each kind."""


@dataclass(frozen=True)
class Blocks:
    """Table of sparsities by block and kind of matrix."""

    rows: Sequence[Row]
    kinds: Sequence[str]
    """Kinds in the order of the model: `self_attn.q_proj`; the experts of a mixture are one kind, `mlp.experts.*.up_proj`."""
    least: float
    most: float
    """Highest sparsity of a cell; `least` is the lowest."""

    def shade(self, sparsity: float) -> float:
        """Return the shade of a cell, from 0 for the least sparse to 1 for the sparsest; one half if all are alike."""
        spread = self.most - self.least
        return 0.5 if spread < 0.001 else round((sparsity - self.least) / spread, 3)


def blocks_of(matrices: Sequence[MatrixReport]) -> Blocks:
    """Group at least one matrix by block and kind."""
    grouped: dict[tuple[str, str], dict[str, list[MatrixReport]]] = {}
    for matrix in matrices:
        place, kind = _place(matrix.name)
        grouped.setdefault(place, {}).setdefault(kind, []).append(matrix)
    rows = [
        Row(
            label,
            Summary.of([matrix for of_kind in kinds.values() for matrix in of_kind]),
            {kind: Summary.of(of_kind).sparsity for kind, of_kind in kinds.items()},
        )
        for (_, label), kinds in grouped.items()
    ]
    cells = [sparsity for row in rows for sparsity in row.by_kind.values()]
    return Blocks(rows, _unique(kind for row in rows for kind in row.by_kind), min(cells), max(cells))


def finite(value: float | None) -> float | None:
    """Return the value, or None if it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _place(name: str) -> tuple[tuple[str, str], str]:
    """Return the block and the kind of a matrix: the first number in a tensor's name is its block's."""
    found = _BLOCK.match(name)
    if found is None:
        return ("", "other"), name.removesuffix(".weight")
    return (found["stem"], found["block"]), _NUMBER.sub("*", found["rest"].removesuffix(".weight"))


def _unique(kinds: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(kinds))
