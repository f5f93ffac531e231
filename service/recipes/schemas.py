"""Options of a job's body, as the API shows them."""

from typing import Any

from pydantic import BaseModel, Field

from service.contract.efforts import Effort
from service.contract.recipe.presets import Preset


class ChoiceView(BaseModel):
    """One value of a choice, with its settings if it has any."""

    name: str
    summary: str = Field(description="one sentence")
    options: dict[str, dict[str, Any]] = Field(
        description="JSON Schema of each setting: type, bounds, default",
        examples=[{"max_cycles": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 50}}],
    )


class DatasetChoiceView(BaseModel):
    """A data set and the default split of each use; `name:split` overrides it."""

    name: str
    summary: str
    splits: list[str]
    calibration: str
    evaluation: str


class RecipesView(BaseModel):
    """Options of a job's `recipe`, `calibration`, `evaluation` and `output`."""

    presets: list[Preset]
    efforts: list[Effort]
    criteria: list[ChoiceView]
    allocations: list[ChoiceView]
    objectives: list[ChoiceView]
    patterns: list[ChoiceView]
    refinements: list[ChoiceView]
    updates: list[ChoiceView]
    formats: list[ChoiceView] = Field(description="formats of the published weights; a job names one or more")
    datasets: list[DatasetChoiceView]
    defaults: dict[str, Any] = Field(description="default values of a job's body")
