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
