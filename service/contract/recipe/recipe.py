"""Recipe of a job: its choices with defaults and bounds, and the rules about choices that exclude each other.

`GET /v1/recipes` returns the docstrings of options and the descriptions of settings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from service.contract.parts import FieldError, Part
from service.contract.recipe.choices import Allocation, Criterion, Objective
from service.contract.recipe.pattern import Pattern, Unstructured
from service.contract.recipe.presets import PresetName, fill
from service.contract.recipe.refinement import DsnotRefinement, Refinement, SwapsRefinement
from service.contract.recipe.update import AdmmUpdate, NoUpdate, Update
from service.contract.validation_errors import errors_of


def _without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults, because generated clients would send them, and they would override the caller's preset."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Recipe(Part):
    """How the model is pruned: an optional preset, and the choices that override it."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    preset: PresetName | None = Field(
        None,
        description="a named recipe that fills in the rest; fields that are given override it; by default `balanced` where no "
        "other field than `pattern` is given",
    )
    pattern: Annotated[Pattern, Field(description="where zeros may be; by default anywhere, half of each row")] = Unstructured()
    criterion: Criterion = Field(
        Criterion.WANDA, strict=False, description="saliency of a weight; by default the preset's, without one `wanda`"
    )
    allocation: Allocation = Field(
        Allocation.UNIFORM,
        strict=False,
        description="sparsity of each block; by default the preset's, without one the same for all",
    )
    objective: Objective = Field(
        Objective.LAYERWISE,
        strict=False,
        description="target that every matrix is fitted to; by default the preset's, without one `layerwise`",
    )
    refinement: Annotated[
        Refinement,
        Field(description="how the mask is improved; by default the preset's, without one `dsnot`, with an update `none`"),
    ] = DsnotRefinement()
    update: Annotated[
        Update, Field(description="how the kept weights change; by default the preset's, without one not at all")
    ] = NoUpdate()

    @classmethod
    def from_dict(cls, recipe: Mapping[str, Any]) -> Self:
        """Read the recipe from a job's JSON object; ValueError names the first invalid field and says what is valid."""
        try:
            return cls.model_validate(recipe)
        except ValidationError as error:
            first = errors_of(error, recipe)[0]
            raise ValueError(f"recipe{first['pointer'].replace('/', '.')}: {first['detail']}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe with all defaults filled in, JSON-ready; `from_dict` restores it."""
        return self.model_dump(mode="json")

    @property
    def has_joint_mask(self) -> bool:
        """Whether ADMM optimises the mask; the criterion's mask is then only the report's baseline."""
        return isinstance(self.update, AdmmUpdate) and self.update.mask == "joint"

    @property
    def changes_kept_weights(self) -> bool:
        """Whether there is an update."""
        return not isinstance(self.update, NoUpdate)

    @property
    def needs_gram(self) -> bool:
        """Whether the result depends on Gram matrices, which need at least as many tokens as inputs."""
        refinement = self.refinement
        checks_rows = isinstance(refinement, DsnotRefinement) and refinement.accept == "if_better"
        refines_on_it = checks_rows or isinstance(refinement, SwapsRefinement)
        is_fitted = self.changes_kept_weights or self.objective is Objective.PROPAGATED
        return is_fitted or refines_on_it or self.criterion is Criterion.OBS

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, given: Any) -> Any:
        return fill(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _choices_fit_together(self) -> Self:
        if self.allocation is not Allocation.UNIFORM and self.pattern.group is not None:
            raise FieldError("/allocation", "an n:m pattern fixes the sparsity of every group; use uniform")
        self._mask_has_one_author()
        self._objective_is_of_use()
        return self

    def _mask_has_one_author(self) -> None:
        if not self.has_joint_mask:
            return
        if self.refinement.method != "none":
            raise FieldError(
                "/update/mask",
                f"with mask `joint` ADMM chooses the mask itself and excludes the refinement {self.refinement.method}; "
                "set the refinement to none, or the mask to given",
            )
        if self.criterion is not Criterion.WANDA:
            raise FieldError(
                "/criterion",
                "ADMM with the mask `joint` chooses the mask itself, and wanda is only what the report compares with; "
                "use wanda, or set update.mask to given",
            )

    def _objective_is_of_use(self) -> None:
        if self.objective is Objective.LAYERWISE:
            return
        refinement, update = self.refinement.method, self.update.method
        can_follow = refinement == "swaps" or update in ("least_squares", "admm")
        if not can_follow or refinement == "dsnot" or update == "obs":
            raise FieldError(
                "/objective",
                "propagated requires the refinement swaps or the update least_squares or admm, and excludes dsnot and obs; "
                "choose one of these, or use layerwise",
            )
