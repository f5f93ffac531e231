"""Figures of `benchmarks.service` and `benchmarks.gpu`, and whether they meet their aims."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Figure = dict[str, Any]


def latencies(measurement: str, case: str, seconds: Sequence[float], **more: Any) -> Figure:
    """Return percentiles of the latencies as a figure; `more` is added to it."""
    ordered = sorted(seconds)
    shown = {name: _milliseconds(ordered[math.ceil(share * len(ordered)) - 1]) for name, share in _SHARES.items()}
    return {"measurement": measurement, "case": case, "count": len(ordered), **shown, **more}


def refused(measurement: str, case: str) -> Figure:
    """Return the figure of a request that the service did not answer within the database's timeout."""
    return {"measurement": measurement, "case": f"{case}, refused with 503", "aims": {}, "met": False}


_SHARES = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}


def aiming(figure: Figure, **aims: float) -> Figure:
    """Return the figure with upper limits for its values, and whether it meets them."""
    return {**figure, "aims": aims, "met": all(figure[name] <= most for name, most in aims.items())}


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 2)


def markdown(about: Mapping[str, Any], figures: Sequence[Figure], title: str = "Service under load") -> str:
    """Return all figures as one page."""
    parts = [f"# {title}", "\n".join(f"* {name}: {value}" for name, value in about.items())]
    for measurement in dict.fromkeys(figure["measurement"] for figure in figures):
        parts += [f"## {measurement}", _table([figure for figure in figures if figure["measurement"] == measurement])]
    return "\n\n".join(parts) + "\n"


def _table(figures: Sequence[Figure]) -> str:
    columns = [name for name in dict.fromkeys(name for figure in figures for name in figure) if name not in _BESIDE]
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in columns)} | aim |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {' | '.join(str(figure.get(name, '')) for name in columns)} | {_aim(figure)} |" for figure in figures]
    return "\n".join(lines)


_BESIDE = ("measurement", "aims", "met")


def _aim(figure: Figure) -> str:
    if "aims" not in figure:
        return ""
    wanted = ", ".join(f"{name.replace('_', ' ')} ≤ {most:g}" for name, most in figure["aims"].items())
    return f"{wanted}: {'met' if figure['met'] else '**missed**'}"
