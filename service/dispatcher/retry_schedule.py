"""Waits between attempts to reach a foreign server."""

import random
from collections.abc import Sequence
from typing import Final

_JITTER: Final = 0.1


def wait_after(tried: int, schedule: Sequence[float]) -> float | None:
    """Return the seconds to the next attempt, None after the last. Jitter protects recovering servers from bursts."""
    if tried > len(schedule):
        return None
    return schedule[tried - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
