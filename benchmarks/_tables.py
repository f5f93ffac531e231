"""Tables of `benchmarks.quality`, made from its cells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks._recipes import PATTERNS, SETS

Cell = Mapping[str, Any]
_ORDER = ["50 %", "60 %", "70 %", "2:4", "4:8"]
_RECIPES = list(dict.fromkeys(name for recipes, _ in SETS.values() for name in recipes))


def markdown(title: str, about: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    """Return all tables as one page."""
    parts = [f"# {title}", "\n".join(f"* {name}: {value}" for name, value in about.items())]
    dense = next((cell for cell in cells if cell["recipe"] is None), None)
    settings = list(dict.fromkeys((cell["calibration"], cell["windows"]) for cell in cells))
    for calibration, windows in settings:
        chosen = [cell for cell in cells if (cell["calibration"], cell["windows"]) == (calibration, windows) and cell["recipe"]]
        if chosen:
            parts.append(f"## Calibrated on {windows} windows of {calibration}")
            parts += _tables(chosen, dense)
    return "\n\n".join(parts) + "\n"


def _tables(cells: Sequence[Cell], dense: Cell | None) -> list[str]:
    tables = []
    for text in cells[0]["perplexity"]:
        before = f" (dense {dense['perplexity'][text]:.2f})" if dense and text in dense["perplexity"] else ""
        tables.append(f"Perplexity on {text}{before}:\n\n" + table(cells, _perplexity(text)))
    wanda = {cell["pattern"]: cell["error"] for cell in cells if cell["name"] == "wanda"}
    if wanda:
        relative = table(cells, lambda cell: f"{cell['error'] / wanda[cell['pattern']]:.2f}" if cell["pattern"] in wanda else "")
        tables.append("Layer error, mean over matrices, divided by Wanda's:\n\n" + relative)
    tables.append("Masks and updates, in forward passes of the calibration tokens:\n\n" + table(cells, _cost))
    tables.append("The whole run, in the same unit:\n\n" + table(cells, lambda cell: f"{cell['total'] / cell['unit']:.1f}"))
    tables.append("Peak memory of the process, MiB:\n\n" + table(cells, lambda cell: f"{cell['peak_mib']:.0f}"))
    return tables


def _perplexity(text: str) -> Callable[[Cell], str]:
    return lambda cell: f"{cell['perplexity'][text]:.4g}"


def _cost(cell: Cell) -> str:
    return f"{(cell['seconds']['masks'] + cell['seconds']['updates']) / cell['unit']:.2f}"


def table(cells: Sequence[Cell], show: Callable[[Cell], str]) -> str:
    """Return a table with a row per recipe and a column per pattern."""
    patterns = [pattern for pattern in _ORDER if any(cell["pattern"] == pattern for cell in cells)]
    by_place = {(cell["name"], cell["pattern"]): show(cell) for cell in cells}
    lines = [f"| | {' | '.join(patterns)} |", "|---" * (len(patterns) + 1) + "|"]
    names = dict.fromkeys(cell["name"] for cell in cells)
    for name in sorted(names, key=lambda name: _RECIPES.index(name) if name in _RECIPES else len(_RECIPES)):
        figures = " | ".join(by_place.get((name, pattern), "–") for pattern in patterns)
        lines.append(f"| {name} | {figures} |")
    return "\n".join(lines)


assert set(_ORDER) == set(PATTERNS)
