"""The recipe of a job: what each choice offers, with every default and bound, and the rules by which choices exclude each other.

The docstring of an option and the description of a setting are what `GET /v1/recipes` says of it.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from service.contract.parts import FieldError, Part
from service.contract.presets import fill


class Unstructured(Part):
    """Zeros may stand anywhere in a row."""

    type: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(0.5, ge=0, lt=1, description="share of each row's weights that becomes zero")


class NofM(Part):
    """Of every m consecutive inputs at most n are non-zero, as runtimes with sparse kernels want it."""

    type: Literal["n:m"]
    n: int = Field(ge=1, description="at most n of every m consecutive inputs are non-zero")
    m: int = Field(ge=2, le=1024, description="inputs in a group; it has to divide the inputs of every matrix")

    @model_validator(mode="after")
    def _some_are_pruned(self) -> "NofM":
        if self.n >= self.m:
            raise FieldError("/n", f"must be smaller than m: {self.n}:{self.m} prunes nothing")
        return self


class NoRefinement(Part):
    """The first mask stands as the criterion chose it."""

    method: Literal["none"]


class DsnotRefinement(Part):
    """DSnoT exchanges pruned and kept weights of a row until its expected output error is small."""

    method: Literal["dsnot"] = "dsnot"
    max_cycles: int = Field(50, ge=1, le=10_000, description="swaps per row at most")
    update_threshold: float = Field(0.1, ge=0, description="a row stops when |error| is below; in the paper's per-sample sums")
    variance_power: float = Field(1.0, ge=0, le=8, description="p in D / Var[x]^p; 0 ignores the variance")
    stop_on_sign_change: bool = Field(True, description="stop a row before its error would change sign")
    accept: Literal["if_better", "always"] = Field("if_better", description="keep a row's new mask only if its true error fell")
    targets: Literal["all", "attention"] = Field("all", description="which matrices are refined")
    variance: Literal["pooled", "within_sample"] = Field("pooled", description="over all tokens, or the mean of the samples' own")


class SwapsRefinement(Part):
    """Exchanges a pruned and a kept weight of a row as long as that makes its true output error on the Gram matrix smaller."""

    method: Literal["swaps"]
    max_swaps: int = Field(200, ge=1, le=1_000_000, description="swaps per row at most")


class NoUpdate(Part):
    """The kept weights stay as they are."""

    method: Literal["none"] = "none"


_Damping = Annotated[
    float, Field(ge=0, lt=1000, description="what is added to the Gram matrix's diagonal, as a share of its mean")
]


class ObsUpdate(Part):
    """SparseGPT's sequential update: the error of each pruned weight is made good by the weights to its right."""

    method: Literal["obs"]
    damping: _Damping = 0.01


class LeastSquaresUpdate(Part):
    """The kept weights of every row become those with the least output error under its mask."""

    method: Literal["least_squares"]
    damping: _Damping = 0.01


class AdmmUpdate(Part):
    """ADMM approaches the kept weights with the least output error, and finds the mask along with them if told to."""

    method: Literal["admm"]
    iterations: int = Field(20, ge=1, le=1000, description="steps of ADMM for every matrix")
    damping: _Damping = 0.1
    mask: Literal["joint", "given"] = Field("joint", description="find the mask with the weights, or keep the given one")


SUMMARIES: Final[dict[str, dict[str, str]]] = {
    "criterion": {
        "magnitude": "The absolute weight; the inputs play no part.",
        "wanda": "The absolute weight times the norm of its input.",
        "ria": "The weight's share of its row and of its column, times the root of the norm of its input.",
        "obs": "What pruning a weight costs once all others have made up for it, by the inverse of the Gram matrix; with "
        "the update `obs` and no refinement this is SparseGPT.",
    },
    "allocation": {
        "uniform": "Every block is pruned alike.",
        "owl": "Blocks with more outliers among their saliencies are pruned less.",
        "arithmetic": "Deeper blocks are pruned more, in equal steps whose size is searched for.",
    },
    "objective": {
        "layerwise": "Every matrix imitates its own dense output on the inputs that the pruned blocks before it give.",
        "propagated": "Every matrix imitates what the dense model computes at its place, residual stream included, so that later "
        "blocks make up for the errors of earlier ones; about twice the forward passes.",
    },
}
"""What the values of the plain choices mean, a sentence each."""


def _without_defaults(schema: dict[str, Any]) -> None:
    """What stands in a schema as a default, generated clients send along; it would win over the preset that a caller names."""
    for field in schema["properties"].values():
        field.pop("default", None)


class RecipeSpec(Part):
    model_config = ConfigDict(json_schema_extra=_without_defaults)

    preset: Literal["fast", "balanced", "best", "dsnot-paper", "dsnot-reference"] | None = Field(
        None, description="a named recipe that fills in the rest; fields given beside it win"
    )
    pattern: Annotated[
        Unstructured | NofM,
        Field(discriminator="type", description="where zeros may stand; by default anywhere, in half of each row's places"),
    ] = Unstructured()
    criterion: Literal["magnitude", "wanda", "ria", "obs"] = Field(
        "wanda", description="how much a weight matters; by default `wanda`"
    )
    allocation: Literal["uniform", "owl", "arithmetic"] = Field(
        "uniform", description="how sparse each block becomes; by default all alike"
    )
    objective: Literal["layerwise", "propagated"] = Field(
        "layerwise", description="what every matrix is to imitate; by default `layerwise`"
    )
    refinement: Annotated[
        NoRefinement | DsnotRefinement | SwapsRefinement,
        Field(discriminator="method", description="how the first mask is improved; by default `dsnot`, beside an update `none`"),
    ] = DsnotRefinement()
    update: Annotated[
        NoUpdate | ObsUpdate | LeastSquaresUpdate | AdmmUpdate,
        Field(discriminator="method", description="what the kept weights become; by default they stay as they are"),
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
                f"with `joint` ADMM chooses the mask itself and leaves nothing to the refinement {self.refinement.method}; "
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
                "only the refinement swaps and the updates least_squares and admm can imitate the dense model, without dsnot or "
                "obs beside them; choose from these, or use layerwise",
            )
