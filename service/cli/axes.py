"""Axes of a sweep from command-line text: `--axis /recipe/preset=fast,best`, `--sparsities 0.4..0.7:0.1`."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

from service.cli.output import CommandFailed
from service.contract.sweeps import MAX_POINTS

PRESET: Final = "/recipe/preset"
PATTERN: Final = "/recipe/pattern"
SPARSITY: Final = "/recipe/pattern/sparsity"
SHORT: Final = {"presets": PRESET, "sparsities": SPARSITY, "patterns": PATTERN}
"""Pointer of each option that names an axis."""
_METHODS: Final = ("/recipe/refinement", "/recipe/update")
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE: Final = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")


def axes(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the axes of the options `axis`, `presets`, `sparsities` and `patterns`.

    Raises:
        CommandFailed: a value cannot be read, or two options set the same axis.
    """
    found: dict[str, list[Any]] = {}
    by: dict[str, str] = {}
    for option, where, text in _texts(given):
        if where in found:
            raise CommandFailed(f"{by[where]} and {option} set the same axis; give all of its values once", 2)
        found[where], by[where] = values(option, where, text), option
    return found


def values(option: str, where: str, text: str) -> list[Any]:
    """Return the values of one axis: JSON where it parses, ranges with both ends, else text.

    `option` is named in errors.
    """
    return [each for part in _parts(option, text) for each in _part_values(option, where, part)]


def _texts(given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for text in given["axis"] or []:
        where, equals, listed = text.partition("=")
        if not where or not equals:
            raise CommandFailed(f"--axis takes POINTER=VALUE,VALUE, such as {PRESET}=fast,best, not {text!r}", 2)
        if not where.startswith("/"):
            raise CommandFailed(f"--axis {text}: {where} is no JSON pointer into the job's body; write it as {PRESET}", 2)
        yield f"--axis {where}", where, listed
    for name, where in SHORT.items():
        if given[name] is not None:
            yield f"--{name}", where, given[name]


def _parts(option: str, text: str) -> Iterator[Any]:
    """Yield the values between commas: a decoded JSON value in a list of one, or text. Commas within JSON do not separate."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    rest: str | None = text.strip()
    while rest is not None:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            end = -1
        before, comma, after = rest[max(end, 0) :].partition(",")
        if end > 0 and not before.strip():
            yield [value]
        else:
            before, comma, after = rest.partition(",")
            if not before.strip():
                raise CommandFailed(f'{option} has an empty value; write an empty text as ""', 2)
            yield before.strip()
        rest = after.strip() if comma else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _part_values(option: str, where: str, part: Any) -> list[Any]:
    if isinstance(part, str):
        if match := _RANGE.fullmatch(part):
            part = _range(option, *match.groups())
        elif where == PATTERN:
            return [_pattern(option, part)]
        else:
            return [{"method": part} if where in _METHODS else part]
    return [_pattern(option, each) if where == PATTERN else each for each in part]


def _range(option: str, first: str, last: str, step: str | None) -> list[int | float]:
    """Return the numbers of `0.4..0.7:0.1`; the step of whole numbers is 1 by default."""
    text = f"{first}..{last}"
    is_whole = all("." not in each for each in (first, last, step or "1"))
    if step is None and not is_whole:
        raise CommandFailed(f"{option}: the range {text} has no step; write it as {text}:0.1", 2)
    low, high, by = Decimal(first), Decimal(last), Decimal(step or "1")
    if by <= 0 or high < low:
        raise CommandFailed(f"{option}: a range is LOWEST..HIGHEST:STEP with a positive step, not {text}:{step or 1}", 2)
    if (high - low) / by >= MAX_POINTS:
        raise CommandFailed(f"{option}: the range {text}:{step or 1} has more than {MAX_POINTS} values; use a larger step", 2)
    numbers = [low + by * index for index in range(int((high - low) / by) + 1)]
    return [int(each) if is_whole else float(each) for each in numbers]


def _pattern(option: str, value: Any) -> Any:
    """Return a pattern of the recipe for a sparsity or n:m; other JSON unchanged."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"type": "unstructured", "sparsity": value}
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", value)
        if match is None:
            raise CommandFailed(f"{option} takes sparsities such as 0.5 and n:m such as 2:4, not {value!r}", 2)
        return {"type": "n:m", "n": int(match[1]), "m": int(match[2])}
    return value
