"""Field-by-field parsing of a recipe's JSON objects; errors name the field, its value and the legal values."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """Fields of one JSON object. Every reader returns the default for an absent field; without a default it is required.

    Readers raise ValueError naming the field.
    """

    def __init__(self, place: str, given: Mapping[str, Any]) -> None:
        if not isinstance(given, Mapping):
            raise ValueError(f"{place} must be an object, not {given!r}.")
        self._place = place
        self._given = given
        self._read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """Return the raw value of a field."""
        self._read.add(name)
        if name not in self._given and default is None:
            raise ValueError(f"{self._place}.{name} is missing.")
        return self._given.get(name, default)

    def section(self, name: str, default: Mapping[str, Any]) -> "Fields":
        """Return a nested object."""
        return Fields(f"{self._place}.{name}", self.get(name, default))

    def choice(self, name: str, kinds: type[Choice], default: Choice | None = None) -> Choice:
        """Return a member of an enumeration."""
        value = self.get(name, default)
        try:
            return kinds(value)
        except ValueError:
            available = ", ".join(kinds)
            raise ValueError(f"{self._place}.{name} cannot be {value!r}; available: {available}.") from None

    def number(self, name: str, default: float | None = None, *, at_least: float, below: float = math.inf) -> float:
        """Return a finite number in [at_least, below)."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < below:
            limit = "" if below == math.inf else f" and below {below}"
            raise ValueError(f"{self._place}.{name} must be a number of at least {at_least}{limit}, not {value!r}.")
        return float(value)

    def integer(self, name: str, default: int | None = None, *, at_least: int, at_most: float = math.inf) -> int:
        """Return an integer in [at_least, at_most]."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
            limit = "" if at_most == math.inf else f" and at most {at_most}"
            raise ValueError(f"{self._place}.{name} must be a whole number of at least {at_least}{limit}, not {value!r}.")
        return value

    def truth(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self._place}.{name} must be true or false, not {value!r}.")
        return value

    def reject_unread(self) -> None:
        """Raise ValueError for a field that was not read: it is unknown, or does not apply with the other fields."""
        for name in self._given:
            if name not in self._read:
                raise ValueError(f"{self._place}.{name} is unknown here; known fields: {', '.join(sorted(self._read))}.")
