"""The two sizes of the tests: every test runs in both, and repeats its work less in the default one."""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

IS_FULL: Final = {"": False, "default": False, "full": True}[os.environ.get("SIZE", "")]


def sized(default: T, full: T) -> T:
    """Return the value for the size given by the environment variable `SIZE` (`default` or `full`)."""
    return full if IS_FULL else default


def sampled(families: Sequence[T]) -> Sequence[T]:
    """Return every sixth of many families of models in the default size, and all of them in the full one."""
    return families if IS_FULL else families[::6]
