"""Formatting of sizes and durations, shared by API, dashboard, command line and reports."""

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


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


def about(seconds: float, low: float, high: float) -> str:
    """Return an estimate with its range, `about 12 min (10 to 15 min)`; an end in the same unit is not repeated."""
    value, first, last = _coarse(seconds), _coarse(low), _coarse(high)
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
