"""Base class of the response models. Fields that a newer service adds are kept, so that `--json` prints them."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Base class of the response models."""

    model_config = ConfigDict(frozen=True, extra="allow")
