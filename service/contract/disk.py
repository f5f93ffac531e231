"""Disk space that a job needs on its worker; predicted by the plan, checked by the worker."""

from typing import Final

from service.contract.spec import JobSpec

_BITS: Final = 1 / 8
"""Maximum bytes of a bit mask per byte of weights."""


def written_bytes(spec: JobSpec, *, weights: int, prunable: int) -> int:
    """Return the maximum bytes of checkpoint, finished blocks and formats; `prunable` of `weights` bytes can be pruned."""
    return weights + prunable + formats_bytes(spec, weights=weights, prunable=prunable)


def formats_bytes(spec: JobSpec, *, weights: int, prunable: int) -> int:
    """Return the maximum bytes of packed files and masks; `prunable` of `weights` bytes can be pruned.

    The compression of exponents is not counted on, because it depends on the weights.
    """
    zeros, formats = spec.recipe.pattern.pruned_share, spec.output.formats
    packed = weights - prunable * max(0.0, zeros - _BITS)
    return round((packed if "packed" in formats else 0) + (prunable * _BITS if "mask" in formats else 0))
