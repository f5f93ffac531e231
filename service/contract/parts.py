"""What every piece of a job's body has in common, and the error for a rule about several of its fields."""

from pydantic import BaseModel, ConfigDict


class FieldError(ValueError):
    """A rule about several fields is broken. `pointer` names the one to change, relative to the part that checks."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class Part(BaseModel):
    """A frozen piece of the spec that refuses unknown fields and guesses no types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
