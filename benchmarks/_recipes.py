"""Recipes and patterns that `benchmarks.quality` compares, by name, in the order in which they are run."""

from typing import Any

Recipe = dict[str, Any]

PATTERNS: dict[str, Recipe] = {
    "60 %": {"type": "unstructured", "sparsity": 0.6},
    "2:4": {"type": "n:m", "n": 2, "m": 4},
    "50 %": {"type": "unstructured", "sparsity": 0.5},
    "70 %": {"type": "unstructured", "sparsity": 0.7},
    "4:8": {"type": "n:m", "n": 4, "m": 8},
}

_NONE = {"method": "none"}
_SWAPS = {"method": "swaps", "max_swaps": 200}
_OBS = {"method": "obs"}
_LEAST = {"method": "least_squares"}
_JOINT = {"method": "admm", "mask": "joint"}
_GIVEN = {"method": "admm", "mask": "given"}


def _mask(criterion: str, refinement: Recipe = _NONE, **more: Any) -> Recipe:
    return {"criterion": criterion, "refinement": refinement, **more}


MAIN: dict[str, Recipe] = {
    "wanda": _mask("wanda"),
    "best": {"preset": "best"},
    "balanced": {"preset": "balanced"},
    "obs, obs update (SparseGPT)": _mask("obs", update=_OBS),
    "dsnot-paper": {"preset": "dsnot-paper"},
    "dsnot-reference": {"preset": "dsnot-reference"},
    "fast": {"preset": "fast"},
    "wanda, swaps": _mask("wanda", _SWAPS),
    "admm joint": _mask("wanda", update=_JOINT),
    "magnitude": _mask("magnitude"),
    "wanda, swaps, admm, propagated": _mask("wanda", _SWAPS, update=_GIVEN, objective="propagated"),
    "wanda, swaps, admm": _mask("wanda", _SWAPS, update=_GIVEN),
    "wanda, swaps, least squares": _mask("wanda", _SWAPS, update=_LEAST),
    "wanda, least squares": _mask("wanda", update=_LEAST),
    "wanda, obs update": _mask("wanda", update=_OBS),
    "ria": _mask("ria"),
    "ria, swaps": _mask("ria", _SWAPS),
    "obs": _mask("obs"),
    "best, owl": {"preset": "best", "allocation": "owl"},
    "best, arithmetic": {"preset": "best", "allocation": "arithmetic"},
    "wanda, owl": _mask("wanda", allocation="owl"),
    "wanda, arithmetic": _mask("wanda", allocation="arithmetic"),
}


def _dsnot(**options: Any) -> Recipe:
    return {"preset": "dsnot-paper", "refinement": {"method": "dsnot", **options}}


ABLATION: dict[str, Recipe] = {
    "wanda": MAIN["wanda"],
    "dsnot-paper": MAIN["dsnot-paper"],
    "without the sign rule": _dsnot(stop_on_sign_change=False),
    "threshold 0": _dsnot(update_threshold=0),
    "threshold x 100": _dsnot(update_threshold=10),
    "variance within samples": _dsnot(variance="within_sample"),
    "no variance": _dsnot(variance_power=0),
    "attention only": _dsnot(targets="attention"),
    "rows accepted if better": _dsnot(accept="if_better"),
}

FEW = {name: MAIN[name] for name in ("wanda", "dsnot-paper", "obs, obs update (SparseGPT)", "balanced", "best")}

SETS: dict[str, tuple[dict[str, Recipe], tuple[str, ...]]] = {
    "main": (MAIN, tuple(PATTERNS)),
    "ablation": (ABLATION, ("60 %", "2:4")),
    "few": (FEW, ("60 %",)),
}


def cells(chosen: str) -> list[tuple[str, str, Recipe]]:
    """Return (recipe's name, pattern's name, whole recipe) of a set, pattern by pattern."""
    recipes, patterns = SETS[chosen]
    return [
        (name, pattern, {**recipe, "pattern": PATTERNS[pattern]})
        for pattern in patterns
        for name, recipe in recipes.items()
        if not (recipe.get("allocation") and PATTERNS[pattern]["type"] == "n:m")
    ]
