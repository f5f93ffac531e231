"""How much there is to do in a job, and what kinds of jobs take alike."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Work(BaseModel):
    """The sizes that a run's time grows with. What another version of a worker adds to them is let go."""

    model_config = ConfigDict(frozen=True)

    parameters: int = Field(ge=0)
    block_parameters: int = Field(ge=0)
    """Of the decoder's blocks, which are what pruning runs."""
    calibration_tokens: int = Field(ge=0)
    evaluated_tokens: int = Field(ge=0)
    """That go through a model: of all data sets, twice where the dense model is measured, too."""
    bytes: int = Field(ge=0)
    """Of the model's files."""


def kind_of(spec: Mapping[str, Any]) -> str:
    """What in a stored spec decides how long a weight takes; how sparse the result is does not."""
    recipe = spec.get("recipe", {})
    methods = (recipe.get(part, {}).get("method", "none") for part in ("refinement", "update"))
    return " ".join([str(recipe.get("objective")), str(recipe.get("criterion")), *methods])
