"""Presets: named recipes that fill in the fields which a job's recipe leaves out.

Fields that a preset leaves out, too, have the defaults of their choices. A recipe with neither a preset nor a method choice has
the preset `balanced`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from service.contract.parts import Part

PresetName = Literal["fast", "balanced", "best", "dsnot-paper", "dsnot-reference"]


class Preset(Part):
    """A named recipe, as `GET /v1/recipes` describes it."""

    name: PresetName
    summary: str = Field(description="what it does")
    cost: str = Field(description="relative to Wanda")
    when: str = Field(description="when to use it")
    recipe: dict[str, Any]


_FAST: Final = {"criterion": "wanda", "objective": "layerwise", "refinement": {"method": "swaps", "max_swaps": 10}}
_BALANCED: Final = {"criterion": "wanda", "objective": "propagated", "refinement": {"method": "swaps", "max_swaps": 100}}
_BEST: Final = {
    "criterion": "wanda",
    "objective": "propagated",
    "refinement": {"method": "none"},
    "update": {"method": "admm", "iterations": 20, "damping": 0.1, "mask": "joint"},
}
_DSNOT_PAPER: Final = {"criterion": "wanda", "refinement": {"method": "dsnot", "accept": "always"}}
_DSNOT_REFERENCE: Final = {
    "criterion": "wanda",
    "refinement": {
        "method": "dsnot",
        "accept": "always",
        "stop_on_sign_change": False,
        "targets": "attention",
        "variance": "within_sample",
    },
}

PRESETS: Final[dict[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(
            name="fast",
            summary="Wanda, then a few exact swaps in every row. Mask only: the kept weights do not change.",
            cost="the same forward passes, a Gram matrix for each set of inputs and a few swaps per row",
            when="for a first result, or to try many settings",
            recipe=_FAST,
        ),
        Preset(
            name="balanced",
            summary="Wanda, then exact swaps that fit every matrix to the dense model's outputs. "
            "Mask only: the kept weights do not change.",
            cost="about twice Wanda's time: half more forward passes, a Gram matrix for each set of inputs and many "
            "swaps per row",
            when="for most jobs, and wherever the kept weights must not change",
            recipe=_BALANCED,
        ),
        Preset(
            name="best",
            summary="ADMM optimises the mask and the kept weights jointly and fits every matrix to the dense model's outputs.",
            cost="about twice Wanda's time: half more forward passes, a Gram matrix for each set of inputs, one "
            "factorization of it, and products with it in every iteration",
            when="when quality counts most and the kept weights may change",
            recipe=_BEST,
        ),
        Preset(
            name="dsnot-paper",
            summary="Wanda, then DSnoT as the paper describes it: every matrix, pooled variance, sign rule, every swap kept.",
            cost="hardly more than Wanda: no Gram matrix is needed",
            when="to compare with the paper",
            recipe=_DSNOT_PAPER,
        ),
        Preset(
            name="dsnot-reference",
            summary="The defaults of the released DSnoT code: attention only, no sign rule, variance within samples.",
            cost="hardly more than Wanda: no Gram matrix is needed",
            when="to reproduce figures made with the released code",
            recipe=_DSNOT_REFERENCE,
        ),
    )
}

DEFAULT_PRESET: Final[PresetName] = "balanced"
METHOD_CHOICES: Final = ("criterion", "allocation", "objective", "refinement", "update")
"""Fields of a recipe that a preset decides; where one is given, no preset is filled in."""

_DEFAULT_KIND: Final = {
    "pattern": ("type", "unstructured"),
    "refinement": ("method", "dsnot"),
    "update": ("method", "none"),
}


def fill(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe with the preset's fields and the unions' discriminators filled in; the caller's values win.

    An update without a refinement disables the refinement, because DSnoT assumes that the kept weights do not change.
    """
    name = given.get("preset")
    if name is None and not any(choice in given for choice in METHOD_CHOICES):
        name = DEFAULT_PRESET
        given = {**given, "preset": name}
    filled: dict[str, Any] = dict(PRESETS[name].recipe) if isinstance(name, str) and name in PRESETS else {}
    for field, value in given.items():
        filled[field] = _merge(field, filled.get(field), value)
    update = filled.get("update")
    if "refinement" not in filled and isinstance(update, dict) and update["method"] != "none":
        filled["refinement"] = {"method": "none"}
    return filled


def _merge(field: str, preset: Any, given: Any) -> Any:
    """Return `given` merged over `preset`, setting by setting if both are of one kind; the kind may be left out."""
    if field not in _DEFAULT_KIND or not isinstance(given, dict):
        return given
    tag, default = _DEFAULT_KIND[field]
    preset = preset if isinstance(preset, dict) else {}
    kind = given.get(tag, preset.get(tag, default))
    return {**(preset if preset.get(tag) == kind else {}), tag: kind, **given}
