"""Formatting of figures, sizes and durations, shared by API, dashboard, command line and reports."""

import math
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_AS_FACTOR: Final = 10.0
"""Ratio from which a change is a factor instead of a percentage."""
_LEAST: Final = 1e-4
"""Smaller figures are written with an exponent."""


def figure(value: float) -> str:
    """Return a measured value with four significant digits, below 1 with three: `25.45`, `49,440`, `0.0520`, `3.20e-05`."""
    if isinstance(value, int) or value == 0 or not math.isfinite(value):
        return f"{value:,}" if isinstance(value, int) else f"{value:.0f}"
    digits = 4 if abs(value) >= 1 else 3
    if abs(value) < _LEAST:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def size(count: float) -> str:
    """Return bytes as `1.27 GB`: powers of ten, three significant digits."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 999.5 * unit else f"{count / unit:.0f} {name}"
    return f"{count:.0f} B"


def gib(count: float) -> str:
    """Return bytes as `1.2 GiB`, the usual unit of memory."""
    return f"{count / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """Return `3.2 s`, `45 s`, `2 min 10 s`, `5 h 12 min` or `3 d 4 h`; negative durations are 0."""
    whole = round(max(seconds, 0.0))
    if whole < _MINUTE:
        return f"{max(seconds, 0.0):.1f} s" if seconds < 10 else f"{whole} s"
    for unit, name, smaller, smaller_name in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller} {smaller_name}"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s"


def about(seconds: float, low: float | None = None, high: float | None = None) -> str:
    """Return an estimate with its range, if known: `about 12 min (10 to 15 min)`; an end in the same unit is not repeated."""
    value, first, last = (_coarse(seconds if each is None else each) for each in (seconds, low, high))
    if first == last:
        return f"about {value}"
    unit = last.rpartition(" ")[2]
    return f"about {value} ({first.removesuffix(f' {unit}')} to {last})"


def _coarse(seconds: float) -> str:
    """Return a duration in one unit, with the digits that an estimate deserves."""
    for unit, name, up_to in ((1, "s", 90), (_MINUTE, "min", 90 * _MINUTE), (_HOUR, "h", 2 * _DAY)):
        if seconds < up_to:
            return f"{_two_digits(seconds / unit)} {name}"
    return f"{_two_digits(seconds / _DAY)} d"


def _two_digits(value: float) -> str:
    if value >= 20:
        return str(5 * round(value / 5))
    return f"{value:.0f}" if value >= 10 else f"{round(value, 1):g}"


def change(value: float, base: float) -> str:
    """Return the change from a positive base: `+3.8 %`, `+76 %`, or from ten times on `× 3,422`."""
    ratio = value / base
    if ratio >= _AS_FACTOR:
        return f"× {ratio:,.0f}"
    percent = 100 * (ratio - 1)
    return f"{percent:+.{1 if abs(percent) < 10 else 0}f} %".replace("-", "\N{MINUS SIGN}")


def age(seconds: float) -> str:
    """Return `now`, `5 min`, `3 h` or `12 d`, rounded down."""
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "now"
