"""Pruning recipe of a job: its options as plain, validated data.

A recipe is read from the job's JSON object. Explicit fields override its preset; `to_dict` returns it with all defaults
filled in, so that a stored recipe is reproducible. An invalid combination raises ValueError with one sentence that names
the field and the legal values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.engine.methods.allocation import Allocation
from worker.engine.methods.saliency import Criterion
from worker.engine.model.structure import Outline
from worker.engine.recipe.choices import (
    Admm,
    Dsnot,
    MaskChoice,
    Objective,
    Obs,
    Pattern,
    Refinement,
    Swaps,
    Update,
    refinement,
    to_json,
    update,
)
from worker.engine.recipe.fields import Fields
from worker.engine.recipe.presets import Preset, fill


@dataclass(frozen=True)
class Recipe:
    """Options of a pruning job. An invalid combination raises ValueError naming the field."""

    pattern: Pattern
    criterion: Criterion
    allocation: Allocation
    refinement: Refinement | None  # None: the first mask is final
    update: Update | None  # None: the kept weights are not updated
    objective: Objective = Objective.LAYERWISE
    preset: Preset | None = field(default=None)

    def __post_init__(self) -> None:
        if self.pattern.n_of_m is not None and self.allocation is not Allocation.UNIFORM:
            raise ValueError(
                f"recipe.allocation cannot be {self.allocation} here: "
                "an n:m pattern fixes the sparsity of every group; use uniform."
            )
        if self.has_joint_mask:
            self._check_joint_mask()
        if self.objective is Objective.PROPAGATED:
            self._check_propagated()

    @property
    def has_joint_mask(self) -> bool:
        """Whether ADMM optimises the mask; the criterion's mask is then only the report's baseline."""
        return isinstance(self.update, Admm) and self.update.mask is MaskChoice.JOINT

    @classmethod
    def from_dict(cls, recipe: Mapping[str, Any]) -> "Recipe":
        """Read the recipe from a job's JSON object; ValueError names the first unknown or invalid field."""
        fields = Fields("recipe", fill(recipe) if isinstance(recipe, Mapping) else recipe)
        preset = None if fields.get("preset") is None else fields.choice("preset", Preset)
        built = cls(
            pattern=Pattern.from_fields(fields.section("pattern", {"type": "unstructured"})),
            criterion=fields.choice("criterion", Criterion, Criterion.WANDA),
            allocation=fields.choice("allocation", Allocation, Allocation.UNIFORM),
            refinement=refinement(fields.section("refinement", {"method": "dsnot"})),
            update=update(fields.section("update", {"method": "none"})),
            objective=fields.choice("objective", Objective, Objective.LAYERWISE),
            preset=preset,
        )
        fields.reject_unread()
        return built

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe with all defaults filled in, JSON-ready; `from_dict` restores it."""
        return {
            "preset": None if self.preset is None else str(self.preset),
            "pattern": self.pattern.to_dict(),
            "criterion": str(self.criterion),
            "allocation": str(self.allocation),
            "objective": str(self.objective),
            "refinement": to_json(self.refinement),
            "update": to_json(self.update),
        }

    def check(self, outline: Outline) -> None:
        """Raise ValueError naming the first matrix of the model whose number of inputs is not divisible by m."""
        if self.pattern.n_of_m is None:
            return
        n, m = self.pattern.n_of_m
        for name, (_, width) in outline.matrices:
            if width % m:
                raise ValueError(f"The pattern {n}:{m} does not fit {name}: {m} does not divide its {width} inputs.")

    def _check_joint_mask(self) -> None:
        if self.refinement is not None:
            raise ValueError(
                f"recipe.update.mask cannot be joint with the refinement {self.refinement.method}, because ADMM then chooses the "
                "mask itself; set recipe.refinement.method to none, or recipe.update.mask to given."
            )
        if self.criterion is not Criterion.WANDA:
            raise ValueError(
                f"recipe.criterion cannot be {self.criterion} here: with a joint mask ADMM chooses the mask itself, and "
                "the criterion is only the baseline of the report; use wanda, or set recipe.update.mask to given."
            )

    def _check_propagated(self) -> None:
        can_follow = isinstance(self.refinement, Swaps) or self.update is not None
        if not can_follow or isinstance(self.refinement, Dsnot) or isinstance(self.update, Obs):
            raise ValueError(
                "recipe.objective cannot be propagated here: only the refinement swaps and the updates least_squares and admm "
                "can approximate the dense model, and not with dsnot or obs; choose from these, or use layerwise."
            )
