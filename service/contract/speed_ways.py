"""Ways in which a job's models run when their speed is measured."""

from collections.abc import Mapping
from typing import Any, Final

WAYS: Final = {
    "dense": "dense original",
    "pruned": "pruned, dense kernels",
    "sparse": "pruned, 2:4 kernels",
    "packed": "pruned, packed",
    "packed_int8": "pruned, packed int8",
}
"""Name in the metrics, and in tables."""
SAME_WEIGHTS: Final = ("pruned", "sparse", "packed")
"""Ways that run the published weights; int8 rounds them."""


def timed(speed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured of each way, by its name in tables."""
    return {title: found for way, title in WAYS.items() if (found := speed.get(way))}


def prefills(found: Mapping[str, Any]) -> dict[int, Any]:
    """Return the throughput of the prefills of one way by prompt length, whose keys are text in JSON."""
    return {int(length): rate for length, rate in (found.get("prefills") or {}).items()}


def prompt_lengths(speed: Mapping[str, Any]) -> list[int]:
    """Return the prompt lengths that were measured of any way, ascending."""
    return sorted({length for found in timed(speed).values() for length in prefills(found)})
