"""How pages write figures: short, with their units, and the same everywhere."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

from service.kit import quantities

_CODE: Final = re.compile("`([^`]+)`")


def moment(value: datetime | None) -> str:
    """`26 Nov 2026, 12:03:10` (UTC, as the pages say)."""
    return f"{value.day} {value:%b %Y, %H:%M:%S}" if value else "–"


def duration(seconds: float | None) -> str:
    """Return `2 min 10 s`, or a dash for None."""
    return "–" if seconds is None else quantities.duration(seconds)


def size(count: float | None) -> str:
    """Return `1.27 GB`, or a dash for None."""
    return "–" if count is None else quantities.size(count)


def share(value: float | None, digits: int = 2) -> str:
    """`50.00 %`."""
    return "–" if value is None else f"{value:.{digits}%}".replace("%", " %")


SHARES: Final = frozenset({"acc", "acc_norm", "exact_match", "top1_agreement"})
"""Measures that people expect in percent."""


def percent(value: float | None, error: float | None = None, digits: int = 1) -> str:
    """`55.0 %`, or with its standard error `55.0 ± 3.0 %`."""
    if value is None or error is None:
        return share(value, digits)
    return f"{100 * value:.{digits}f} ± {share(error, digits)}"


def figure(value: float | None, digits: int = 3) -> str:
    """`29.525`, `1,203.1`; as many digits as tell something."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if abs(value) < 1000 else f"{value:,.1f}"


def pattern(spec: Mapping[str, Any]) -> str:
    """Of a stored spec: `50 %` or `2:4`; a dash for one that another version of the service has written otherwise."""
    asked = (spec.get("recipe") or {}).get("pattern")
    if not asked:
        return "–"
    return f"{asked['n']}:{asked['m']}" if asked["type"] == "n:m" else f"{asked['sparsity'] * 100:g} %"


def recipe(spec: Mapping[str, Any]) -> str:
    """Of a stored spec: `wanda, then swaps, propagated`, or `admm`, where that chooses the mask itself."""
    asked = spec.get("recipe")
    if not asked:
        return "–"
    steps = [asked["refinement"]["method"], asked["update"]["method"]]
    if asked["update"].get("mask") != "joint":
        steps.insert(0, asked["criterion"])
    usual = {"allocation": "uniform", "objective": "layerwise"}
    special = [asked[name] for name, value in usual.items() if asked.get(name, value) != value]
    return ", ".join([", then ".join(step for step in steps if step != "none"), *special])


def words(name: str) -> str:
    """`attempt_started` as people write it."""
    return name.replace("_", " ").replace("-", " ")


def code(text: str) -> Markup:
    """A sentence in which backticks set off what is to be typed or sent: escaped first, then with `<code>`."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # it has been escaped


FILTERS: Final[dict[str, Callable[..., str]]] = {
    each.__name__: each for each in (moment, duration, size, share, figure, pattern, recipe, words, code)
}
