"""Reading one object of a recipe field by field, with sentences that say what is wrong where."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """The fields of one JSON object. Every reader takes the default if the field is absent, and without one requires the field.

    Readers raise ValueError naming the field.
    """

    def __init__(self, place: str, given: Mapping[str, Any]) -> None:
        if not isinstance(given, Mapping):
            raise ValueError(f"{place} must be an object, not {given!r}.")
        self._place = place
        self._given = given
        self._read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field as it stands."""
        self._read.add(name)
        if name not in self._given and default is None:
            raise ValueError(f"{self._place}.{name} is missing.")
        return self._given.get(name, default)

    def section(self, name: str, default: Mapping[str, Any]) -> "Fields":
        """A nested object."""
        return Fields(f"{self._place}.{name}", self.get(name, default))

    def choice(self, name: str, kinds: type[Choice], default: Choice | None = None) -> Choice:
        """One of the members of an enumeration."""
        value = self.get(name, default)
        try:
            return kinds(value)
        except ValueError:
            available = ", ".join(kinds)
            raise ValueError(f"{self._place}.{name} cannot be {value!r}; available: {available}.") from None

    def number(self, name: str, default: float | None = None, *, at_least: float, below: float = math.inf) -> float:
        """A finite number in [at_least, below)."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < below:
            limit = "" if below == math.inf else f" and below {below}"
            raise ValueError(f"{self._place}.{name} must be a number of at least {at_least}{limit}, not {value!r}.")
        return float(value)

    def integer(self, name: str, default: int | None = None, *, at_least: int, at_most: float = math.inf) -> int:
        """A whole number in [at_least, at_most]."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
            limit = "" if at_most == math.inf else f" and at most {at_most}"
            raise ValueError(f"{self._place}.{name} must be a whole number of at least {at_least}{limit}, not {value!r}.")
        return value

    def truth(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self._place}.{name} must be true or false, not {value!r}.")
        return value

    def refuse_the_rest(self) -> None:
        """Refuse fields that nobody read: they are unknown, or mean nothing beside the others."""
        for name in self._given:
            if name not in self._read:
                raise ValueError(f"{self._place}.{name} is unknown here; known: {', '.join(sorted(self._read))}.")
