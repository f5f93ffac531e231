"""Check of embeddings and head for NaN and infinite weights before any block is pruned.

A row of the embeddings matters only to its token, but a row of the head makes the probabilities of all tokens NaN.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.errors import NumericalFailure
from worker.engine.model.structure import Architecture, load_structure

_ROWS = 4096  # at a time


def check_ends(source: Path, tokens: Tensor, *, with_head: bool) -> None:
    """Raise NumericalFailure unless the embeddings of `tokens` and, `with_head`, all rows of the head are finite."""
    arch = load_structure(source)
    _check(arch, arch.model.get_input_embeddings(), torch.unique(tokens), "tokens of the texts use them; take other texts")
    if with_head:
        _check(arch, arch.model.get_output_embeddings(), None, "every perplexity would be NaN; leave out the evaluation")


def _check(arch: Architecture, module: Any, rows: Tensor | None, effect: str) -> None:
    tensor = _stored_weight(arch, module)
    if tensor is None:
        return
    parts = torch.split(arch.checkpoint.read(tensor), _ROWS)
    is_finite = torch.cat([part.isfinite().all(dim=1) for part in parts])
    used = torch.arange(len(is_finite)) if rows is None else rows[rows < len(is_finite)]
    odd = used[~is_finite[used]]
    if len(odd):
        where = f"{tensor} has NaN or infinite values in {len(odd)} rows (the first is row {int(odd[0])})"
        raise NumericalFailure(f"{where}: {effect}, or correct the checkpoint.")


def _stored_weight(arch: Architecture, module: Any) -> str | None:
    """Return the tensor that the weight (rows, width) of an embedding or a linear layer is stored as; None for others."""
    if not isinstance(module, nn.Embedding | nn.Linear):
        return None
    path = next((name for name, each in arch.model.named_modules() if each is module), None)
    filling = arch.fillings.get(arch.tied.get(f"{path}.weight", f"{path}.weight"))
    return filling.tensors[0] if filling is not None and filling.converter is None else None
