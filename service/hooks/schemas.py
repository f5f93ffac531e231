"""Request schemas that webhooks and triggers share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

Description = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Rotation(BaseModel):
    """Options of a secret rotation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: StrictInt = Field(
        86_400, ge=0, le=604_800, description="seconds during which the old secret stays valid as well"
    )
