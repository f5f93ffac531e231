"""Waiting for a condition, with one ceiling that only a hang reaches."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

CEILING_SECONDS: Final = 120.0
"""Generous, so that a slow or busy machine fails no test."""

_SHORTEST, _LONGEST = 0.02, 0.1
"""Bounds of the pause between two looks, in seconds: a tenth of the time waited so far, because a look may cost a request."""


def eventually(look: Callable[[], Result]) -> Result:
    """Return the result of `look` once it is true; fail after `CEILING_SECONDS`."""
    start = time.monotonic()
    while not (result := look()):
        waited = time.monotonic() - start
        assert waited < CEILING_SECONDS, f"not within {CEILING_SECONDS:.0f} s: {result!r}"
        time.sleep(min(max(_SHORTEST, waited / 10), _LONGEST))
    return result
