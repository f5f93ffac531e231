"""JSON files of an artifact as models, from which their documentation and JSON Schemas are generated.

Rule of change: an addition keeps `schema_version`; a removal, a new name or another meaning raises it.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.contract.artifacts import Manifest
from service.contract.matrices import MatrixReport
from service.contract.model_spec import ModelSpec
from service.contract.provenance import PROVENANCE_NAME, Provenance
from service.contract.recipe.recipe import Recipe
from service.contract.spec import RECIPE_VERSION, CalibrationSpec, EvaluationSpec, OutputSpec

RECIPE_NAME: Final = "recipe.json"
SPARSITY_REPORT_NAME: Final = "sparsity_report.json"
SPARSITY_REPORT_VERSION: Final = 1

_SUM_OF_ERRORS: Final = "mean over the matrices; null if not finite"


class MatrixEntry(MatrixReport):
    """One matrix; an error is null if it is not finite."""

    block: int = Field(ge=0, description="index of its decoder block, from 0")
    kind: str = Field(description="its name without the block's", examples=["q_proj"])
    error_start: float | None = Field(description="relative error of the first mask: ‖(W − W')X‖² / ‖WX‖²")  # type: ignore[assignment]
    error_mask: float | None = Field(description="error of the final mask, before kept weights are updated")  # type: ignore[assignment]
    error: float | None = Field(description="error of the result")  # type: ignore[assignment]


class TotalEntry(BaseModel):
    """Several matrices."""

    model_config = ConfigDict(frozen=True)

    sparsity: float = Field(description="zeros / weights, 0 to 1")
    error_start: float | None = Field(description=f"relative error of the first mask, {_SUM_OF_ERRORS}")
    error_mask: float | None = Field(description=f"error of the final mask, {_SUM_OF_ERRORS}")
    error: float | None = Field(description=f"error of the result, {_SUM_OF_ERRORS}")
    swaps: int = Field(description="weights pruned in the final masks and not in the first")
    seconds: float = Field(description="seconds for masks and weights")


class BlockEntry(TotalEntry):
    """The matrices of one block; blocks without pruned matrices are left out."""

    block: int = Field(ge=0, description="index of the decoder block, from 0")


class SparsityReportFile(BaseModel):
    """`sparsity_report.json`: the figures of every pruned matrix."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = Field(description="version of this file's fields")
    sparsity: float = Field(description="zeros / weights of all pruned matrices, 0 to 1")
    coverage: float = Field(description="weights of pruned matrices / parameters of the blocks, 0 to 1")
    matrices: list[MatrixEntry] = Field(description="by block, in the order of the modules")
    blocks: list[BlockEntry]
    total: TotalEntry = Field(description="all pruned matrices")
    warnings: list[str] = Field(description="reasons not to rely on the result")
    seconds: dict[str, float] = Field(description="seconds by part of the work: forward, statistics, masks, updates, io")
    source: str = Field(
        description="SHA-256 over names, sizes and content of the source's files; the revision of a local model in `recipe.json`"
    )


class RecipeFile(BaseModel):
    """`recipe.json`: a body for `POST /v1/jobs` that repeats the job with the same model."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = Field(description="version of this file's fields; `POST /v1/jobs` accepts 1 and refuses others")
    model: ModelSpec = Field(description="with the revision that was pruned")
    recipe: Recipe
    calibration: CalibrationSpec
    evaluation: EvaluationSpec
    output: OutputSpec = Field(description="without `hub`")


assert RECIPE_VERSION == 1

FILES: Final[dict[str, type[BaseModel]]] = {
    "manifest.json": Manifest,
    PROVENANCE_NAME: Provenance,
    RECIPE_NAME: RecipeFile,
    SPARSITY_REPORT_NAME: SparsityReportFile,
}
"""Models by file name."""
