"""Measured perplexities of presets, shown before a tenant has jobs of its own with a model.

SmolLM2-135M-Instruct on WikiText-2, from `benchmarks/results/smollm2-135m.json`; `docs/explain/quality.md` has the conditions.
"""

from collections.abc import Mapping
from typing import Final

DENSE: Final = 23.5
"""Perplexity of the dense model."""

MEASURED: Final[Mapping[str, Mapping[str, float]]] = {
    "fast": {"50 %": 43.2, "60 %": 81.4, "70 %": 301, "2:4": 102.9, "4:8": 67.2},
    "balanced": {"50 %": 38.1, "60 %": 58.0, "70 %": 110, "2:4": 70.5, "4:8": 52.0},
    "best": {"50 %": 33.4, "60 %": 44.5, "70 %": 66.9, "2:4": 47.0, "4:8": 39.8},
}
"""Perplexity by preset and pattern."""


def ratios() -> dict[str, dict[str, float]]:
    """Return the perplexities as multiples of the dense model's."""
    return {preset: {pattern: round(value / DENSE, 2) for pattern, value in row.items()} for preset, row in MEASURED.items()}
