"""Recipe presets, and how a recipe is completed from one; fields that a preset omits have the options' defaults."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Preset(StrEnum):
    """Three presets from fast to accurate, the method of the DSnoT paper, and its released code with default options."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"
    DSNOT_PAPER = "dsnot-paper"
    DSNOT_REFERENCE = "dsnot-reference"


PRESETS: dict[str, dict[str, Any]] = {
    Preset.FAST: {"criterion": "wanda", "objective": "layerwise", "refinement": {"method": "swaps", "max_swaps": 10}},
    Preset.BALANCED: {"criterion": "wanda", "objective": "propagated", "refinement": {"method": "swaps", "max_swaps": 100}},
    Preset.BEST: {
        "criterion": "wanda",
        "objective": "propagated",
        "refinement": {"method": "none"},
        "update": {"method": "admm", "iterations": 20, "damping": 0.1, "mask": "joint"},
    },
    Preset.DSNOT_PAPER: {"criterion": "wanda", "refinement": {"method": "dsnot", "accept": "always"}},
    Preset.DSNOT_REFERENCE: {
        "criterion": "wanda",
        "refinement": {
            "method": "dsnot",
            "accept": "always",
            "stop_on_sign_change": False,
            "targets": "attention",
            "variance": "within_sample",
        },
    },
}

_SECTIONS = {"pattern": ("type", "unstructured"), "refinement": ("method", "dsnot"), "update": ("method", "none")}
"""Nested objects: the field that names the kind, and the default kind."""


def fill(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preset that `given` names, overridden by the other fields of `given`; every section names its kind.

    A section of another kind than the preset's inherits nothing from it. With an update, the default refinement is
    none instead of DSnoT, because DSnoT is designed for weights that are not updated.
    """
    preset = given.get("preset")
    filled: dict[str, Any] = {"preset": None, **(PRESETS.get(preset, {}) if isinstance(preset, str) else {})}
    for name, value in given.items():
        if name in _SECTIONS and isinstance(value, Mapping):
            tag, usual = _SECTIONS[name]
            below = filled.get(name, {})
            kind = value.get(tag, below.get(tag, usual))
            value = {**(below if below.get(tag) == kind else {}), tag: kind, **value}
        filled[name] = value
    update = filled.get("update")
    if isinstance(update, Mapping) and update["method"] != "none":
        filled.setdefault("refinement", {"method": "none"})
    return filled
