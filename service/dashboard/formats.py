"""Number and text formats of the pages."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

from service.contract.gates import gate_text
from service.contract.logs import LogLevel
from service.contract.parts import dotted
from service.contract.recipe.names import pattern_name, recipe_name, short_recipe_name
from service.contract.verdicts import multiple
from service.jobs.groups.repository import MOST_COUNTED
from service.kit import quantities

_CODE: Final = re.compile("`([^`]+)`")


def moment(value: datetime | None) -> str:
    """Return `26 Nov 2026, 12:03:10`, or a dash for None; pages state that times are in UTC."""
    return f"{value.day} {value:%b %Y, %H:%M:%S}" if value else "–"


def duration(seconds: float | None) -> str:
    """Return `2 min 10 s`, or a dash for None."""
    return "–" if seconds is None else quantities.duration(seconds)


def size(count: float | None) -> str:
    """Return `1.27 GB`, or a dash for None."""
    return "–" if count is None else quantities.size(count)


def share(value: float | None, digits: int = 2) -> str:
    """Return `50.00 %`, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}%}".replace("%", " %")


SHARES: Final = frozenset({"acc", "acc_norm", "exact_match", "top1_agreement", "repetition", "equal_tokens"})
"""Measures shown in percent."""


def percent(value: float | None, error: float | None = None, digits: int = 1) -> str:
    """Return `55.0 %`, or with its standard error `55.0 ± 3.0 %`."""
    if value is None or error is None:
        return share(value, digits)
    return f"{100 * value:.{digits}f} ± {share(error, digits)}"


def figure(value: float | None) -> str:
    """Return `29.53` or `1,203`, three to four significant digits, or a dash for None."""
    return "–" if value is None else quantities.figure(value)


def spread(value: float | None, half_width: float | None) -> str:
    """Return `29.53 ± 0.41`; the value alone without a half width."""
    return figure(value) + (f" ± {figure(half_width)}" if value is not None and half_width is not None else "")


def pattern(spec: Mapping[str, Any]) -> str:
    """Return the pattern of a stored spec, `50 %` or `2:4`; a dash if another version of the service stored none."""
    asked = spec.get("recipe") or {}
    return pattern_name(asked) if asked.get("pattern") else "–"


def recipe(spec: Mapping[str, Any]) -> str:
    """Return the recipe of a stored spec, such as `wanda, then swaps, propagated`, or `admm` if it selects the mask itself."""
    return recipe_name(spec["recipe"]) if spec.get("recipe") else "–"


def short_recipe(spec: Mapping[str, Any]) -> str:
    """Return the preset of a stored spec, or its recipe in words."""
    return short_recipe_name(spec["recipe"]) if spec.get("recipe") else "–"


def words(name: str) -> str:
    """Return an identifier such as `attempt_started` with spaces."""
    return name.replace("_", " ").replace("-", " ")


def code(text: str) -> Markup:
    """Return the text as escaped HTML, with parts in backticks as `<code>`."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # it has been escaped


def log_level(number: int) -> str:
    """Return `warning`, the name of a stored level."""
    return LogLevel.of(number)


def counted(*counts: int) -> str:
    """Return the number of jobs in one state or in several: `1,234`, or `100,000+` where there are more than are counted."""
    least = sum(min(count, MOST_COUNTED) for count in counts)
    return f"{least:,}" + ("+" if any(count > MOST_COUNTED for count in counts) else "")


FILTERS: Final[dict[str, Callable[..., str]]] = {
    each.__name__: each
    for each in (
        moment,
        duration,
        size,
        share,
        figure,
        multiple,
        pattern,
        recipe,
        short_recipe,
        words,
        code,
        log_level,
        dotted,
        counted,
    )
} | {"gate": gate_text}
