"""Base class of the parts of a job's body, and the error for rules about several fields."""

from pydantic import BaseModel, ConfigDict


class FieldError(ValueError):
    """Violation of a rule about several fields. `pointer` names the field to change, relative to the part that checks."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class Part(BaseModel):
    """A frozen part of the spec that rejects unknown fields and does not coerce types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
