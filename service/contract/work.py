"""Amount of work in a job, and the key under which timings are comparable."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Work(BaseModel):
    """Sizes that determine a run's time. Unknown fields of another version of the worker are ignored."""

    model_config = ConfigDict(frozen=True)

    parameters: int = Field(ge=0)
    block_parameters: int = Field(ge=0)
    """Parameters of the decoder's blocks, the part that pruning runs."""
    calibration_tokens: int = Field(ge=0)
    evaluated_tokens: int = Field(ge=0)
    """Tokens that go through a model, over all data sets; twice if the dense model is measured as well."""
    bytes: int = Field(ge=0)
    """Bytes of the model's files."""
    blocks: int = Field(0, ge=0)
    """Number of the decoder's blocks; 0 if unknown, as in the work that earlier versions recorded."""


def kind_of(spec: Mapping[str, Any]) -> str:
    """Return the parts of a stored spec that determine the time per weight; the sparsity is not one of them."""
    recipe = spec.get("recipe", {})
    methods = (recipe.get(part, {}).get("method", "none") for part in ("refinement", "update"))
    return " ".join([str(recipe.get("objective")), str(recipe.get("criterion")), *methods])
