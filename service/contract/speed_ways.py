"""Ways in which a job's models run when their speed is measured."""

from collections.abc import Mapping
from typing import Any, Final, Literal

Way = Literal["dense", "pruned", "sparse", "packed", "packed_int8"]

WAYS: Final[dict[Way, str]] = {
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


def prefills(speed: Mapping[str, Any], found: Mapping[str, Any]) -> dict[int, Any]:
    """Return the throughput of one way's prefills by prompt length; older workers measured one length only."""
    measured = found.get("prefills") or {speed["prompt_tokens"]: found["prefill"]}
    return {int(length): rate for length, rate in measured.items()}  # the keys are text in JSON


def prompt_lengths(speed: Mapping[str, Any]) -> list[int]:
    """Return the prompt lengths that were measured of any way, ascending."""
    return sorted({length for found in timed(speed).values() for length in prefills(speed, found)})
