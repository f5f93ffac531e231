"""Base class of the parts of a job's body, the error for rules about several fields, and how fields are named."""

from pydantic import BaseModel, ConfigDict


class FieldError(ValueError):
    """Violation of a rule about several fields. `pointer` names the field to change, relative to the part that checks."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


def dotted(pointer: str) -> str:
    """Return a JSON pointer as people write it: `recipe.pattern.sparsity`."""
    return ".".join(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


class Part(BaseModel):
    """A frozen part of the spec that rejects unknown fields and does not coerce types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
