"""Waiting for a condition, with one ceiling that only a hang reaches."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

CEILING_SECONDS: Final = 120.0
"""Generous, so that a slow or busy machine fails no test; a condition that holds is seen within `_PAUSE_SECONDS`."""

_PAUSE_SECONDS = 0.02


def eventually(look: Callable[[], Result]) -> Result:
    """Return the result of `look` once it is true; fail after `CEILING_SECONDS`."""
    deadline = time.monotonic() + CEILING_SECONDS
    while not (result := look()):
        assert time.monotonic() < deadline, f"not within {CEILING_SECONDS:.0f} s: {result!r}"
        time.sleep(_PAUSE_SECONDS)
    return result
