"""The recipe of a job: the options of each choice with defaults and bounds, and the rules about choices that exclude each other.

`GET /v1/recipes` returns the docstrings of options and the descriptions of settings.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from service.contract.parts import FieldError, Part
from service.contract.presets import fill


class Unstructured(Part):
    """Unstructured sparsity: zeros may be anywhere in a row."""

    type: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(0.5, ge=0, lt=1, description="share of each row's weights that becomes zero")


class NofM(Part):
    """n:m sparsity: at most n of every m consecutive inputs are non-zero, as runtimes with sparse kernels require."""

    type: Literal["n:m"]
    n: int = Field(ge=1, description="at most n of every m consecutive inputs are non-zero")
    m: int = Field(ge=2, le=1024, description="inputs in a group; must divide the number of inputs of every matrix")

    @model_validator(mode="after")
    def _some_are_pruned(self) -> "NofM":
        if self.n >= self.m:
            raise FieldError("/n", f"must be smaller than m: {self.n}:{self.m} prunes nothing")
        return self


class NoRefinement(Part):
    """No refinement: the criterion's mask is used unchanged."""

    method: Literal["none"]


class DsnotRefinement(Part):
    """DSnoT: swaps pruned and kept weights of a row until its expected output error is small."""

    method: Literal["dsnot"] = "dsnot"
    max_cycles: int = Field(50, ge=1, le=10_000, description="maximum number of swaps per row")
    update_threshold: float = Field(
        0.1, ge=0, description="a row stops when |error| is below this, in the paper's per-sample sums"
    )
    variance_power: float = Field(1.0, ge=0, le=8, description="p in D / Var[x]^p; 0 ignores the variance")
    stop_on_sign_change: bool = Field(True, description="stop a row before its error would change sign")
    accept: Literal["if_better", "always"] = Field(
        "if_better", description="`if_better` keeps a row's new mask only if its true error fell"
    )
    targets: Literal["all", "attention"] = Field("all", description="which matrices are refined")
    variance: Literal["pooled", "within_sample"] = Field(
        "pooled", description="over all tokens, or the mean of the variances within samples"
    )


class SwapsRefinement(Part):
    """Exact swaps of a pruned and a kept weight of a row, while they reduce its true output error by the Gram matrix."""

    method: Literal["swaps"]
    max_swaps: int = Field(200, ge=1, le=1_000_000, description="maximum number of swaps per row")


class NoUpdate(Part):
    """No update: the kept weights do not change."""

    method: Literal["none"] = "none"


_Damping = Annotated[
    float, Field(ge=0, lt=1000, description="added to the Gram matrix's diagonal, as a share of the diagonal's mean")
]


class ObsUpdate(Part):
    """SparseGPT's sequential update: the weights to the right of each pruned weight compensate for its error."""

    method: Literal["obs"]
    damping: _Damping = 0.01


class LeastSquaresUpdate(Part):
    """Least squares: the kept weights of every row minimise its output error under its mask."""

    method: Literal["least_squares"]
    damping: _Damping = 0.01


class AdmmUpdate(Part):
    """ADMM: approximates the kept weights with the least output error, and finds the mask jointly unless given one."""

    method: Literal["admm"]
    iterations: int = Field(20, ge=1, le=1000, description="ADMM iterations per matrix")
    damping: _Damping = 0.1
    mask: Literal["joint", "given"] = Field(
        "joint", description="optimise the mask jointly with the weights, or keep the given one"
    )


SUMMARIES: Final[dict[str, dict[str, str]]] = {
    "criterion": {
        "magnitude": "The weight's absolute value; inputs are ignored.",
        "wanda": "The weight's absolute value times the norm of its input.",
        "ria": "Relative importance: the weight's share of its row and of its column, times the square root of its input's norm.",
        "obs": "Optimal Brain Surgeon: the error of pruning a weight after all others have compensated for it, from the inverse "
        "Gram matrix; with the update `obs` and no refinement this is SparseGPT.",
    },
    "allocation": {
        "uniform": "Every block has the same sparsity.",
        "owl": "Blocks with more outliers among their saliencies are pruned less.",
        "arithmetic": "Deeper blocks are pruned more, in equal steps whose size is found by search.",
    },
    "objective": {
        "layerwise": "Every matrix is fitted to its own dense output, on the inputs from the pruned blocks before it.",
        "propagated": "Every matrix is fitted to the dense model's output at its position, residual stream included, so "
        "that later blocks compensate for the errors of earlier ones; about twice the forward passes.",
    },
}
"""Summary of each value of the plain choices, a sentence each."""


def _without_defaults(schema: dict[str, Any]) -> None:
    """Remove the defaults, because generated clients would send them, and they would override the caller's preset."""
    for field in schema["properties"].values():
        field.pop("default", None)


class RecipeSpec(Part):
    """How the model is pruned: an optional preset, and the choices that override it."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    preset: Literal["fast", "balanced", "best", "dsnot-paper", "dsnot-reference"] | None = Field(
        None, description="a named recipe that fills in the rest; fields that are given override it"
    )
    pattern: Annotated[
        Unstructured | NofM,
        Field(discriminator="type", description="where zeros may be; by default anywhere, half of each row"),
    ] = Unstructured()
    criterion: Literal["magnitude", "wanda", "ria", "obs"] = Field(
        "wanda", description="saliency of a weight; by default `wanda`"
    )
    allocation: Literal["uniform", "owl", "arithmetic"] = Field(
        "uniform", description="sparsity of each block; by default the same for all"
    )
    objective: Literal["layerwise", "propagated"] = Field(
        "layerwise", description="target that every matrix is fitted to; by default `layerwise`"
    )
    refinement: Annotated[
        NoRefinement | DsnotRefinement | SwapsRefinement,
        Field(discriminator="method", description="how the mask is improved; by default `dsnot`, with an update `none`"),
    ] = DsnotRefinement()
    update: Annotated[
        NoUpdate | ObsUpdate | LeastSquaresUpdate | AdmmUpdate,
        Field(discriminator="method", description="how the kept weights change; by default not at all"),
    ] = NoUpdate()

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, given: Any) -> Any:
        return fill(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _choices_fit_together(self) -> "RecipeSpec":
        if self.allocation != "uniform" and isinstance(self.pattern, NofM):
            raise FieldError("/allocation", "an n:m pattern fixes the sparsity of every group; use uniform")
        self._mask_has_one_author()
        self._objective_is_of_use()
        return self

    def _mask_has_one_author(self) -> None:
        if not (isinstance(self.update, AdmmUpdate) and self.update.mask == "joint"):
            return
        if self.refinement.method != "none":
            raise FieldError(
                "/update/mask",
                f"with mask `joint` ADMM chooses the mask itself and excludes the refinement {self.refinement.method}; "
                "set the refinement to none, or the mask to given",
            )
        if self.criterion != "wanda":
            raise FieldError(
                "/criterion",
                "ADMM with the mask `joint` chooses the mask itself, and wanda is only what the report compares with; "
                "use wanda, or set update.mask to given",
            )

    def _objective_is_of_use(self) -> None:
        if self.objective == "layerwise":
            return
        refinement, update = self.refinement.method, self.update.method
        can_follow = refinement == "swaps" or update in ("least_squares", "admm")
        if not can_follow or refinement == "dsnot" or update == "obs":
            raise FieldError(
                "/objective",
                "propagated requires the refinement swaps or the update least_squares or admm, and excludes dsnot and obs; "
                "choose one of these, or use layerwise",
            )
