"""What a job takes of its worker's disk, as the plan tells it and the worker checks it."""

from typing import Final

from service.contract.recipe import NofM
from service.contract.spec import JobSpec

_BITS: Final = 1 / 8
"""Bytes of a weight's bit for each byte of the weight, at the most."""


def written_bytes(spec: JobSpec, *, weights: int, prunable: int) -> int:
    """The pruned checkpoint, its finished blocks and its formats, at the most; `prunable` bytes of `weights` can be pruned."""
    return weights + prunable + formats_bytes(spec, weights=weights, prunable=prunable)


def formats_bytes(spec: JobSpec, *, weights: int, prunable: int) -> int:
    """What packed files and masks take at the most, of `weights` bytes of which `prunable` can be pruned."""
    pattern, formats = spec.recipe.pattern, spec.output.formats
    zeros = 1 - pattern.n / pattern.m if isinstance(pattern, NofM) else pattern.sparsity
    packed = weights - prunable * max(0.0, zeros - _BITS)
    return round((packed if "packed" in formats else 0) + (prunable * _BITS if "mask" in formats else 0))
