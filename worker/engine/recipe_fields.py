"""Reading one object of a recipe field by field, with sentences that say what is wrong where."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """The fields of one JSON object, its defaults filled in. Every reader raises ValueError naming the field."""

    def __init__(self, place: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        if not isinstance(given, Mapping):
            raise ValueError(f"{place} must be an object, not {given!r}.")
        self._place = place
        self._values = {**defaults, **given}
        self._read: set[str] = set()

    def get(self, name: str) -> Any:
        """The value of a field; it must be given or have a default."""
        self._read.add(name)
        if name not in self._values:
            raise ValueError(f"{self._place}.{name} is missing.")
        return self._values[name]

    def section(self, name: str, defaults: Mapping[str, Any], *, tag: str) -> "Fields":
        """A nested object. The defaults fill it only where its tag is the defaults' own or is not given."""
        self._read.add(name)
        given = self._values.get(name, {})
        place = f"{self._place}.{name}"
        same_kind = not isinstance(given, Mapping) or given.get(tag, defaults[tag]) == defaults[tag]
        return Fields(place, given, defaults if same_kind else {})

    def choice(self, name: str, kinds: type[Choice]) -> Choice:
        """One of the members of an enumeration."""
        value = self.get(name)
        try:
            return kinds(value)
        except ValueError:
            available = ", ".join(kinds)
            raise ValueError(f"{self._place}.{name} cannot be {value!r}; available: {available}.") from None

    def number(self, name: str, *, at_least: float, below: float = math.inf) -> float:
        """A finite number in [at_least, below)."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < below:
            limit = "" if below == math.inf else f" and below {below}"
            raise ValueError(f"{self._place}.{name} must be a number of at least {at_least}{limit}, not {value!r}.")
        return float(value)

    def integer(self, name: str, *, at_least: int) -> int:
        """A whole number of at least `at_least`."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(f"{self._place}.{name} must be a whole number of at least {at_least}, not {value!r}.")
        return value

    def truth(self, name: str) -> bool:
        """True or false."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise ValueError(f"{self._place}.{name} must be true or false, not {value!r}.")
        return value

    def refuse_the_rest(self) -> None:
        """Refuse fields that nobody read: they are unknown, or mean nothing beside the others."""
        for name in self._values:
            if name not in self._read:
                raise ValueError(f"{self._place}.{name} is unknown here; known: {', '.join(sorted(self._read))}.")
