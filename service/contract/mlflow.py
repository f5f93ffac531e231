"""MLflow in a job's body and in its view: what is logged to the tracking server, and the outcome."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.contract.display_names import DisplayName
from service.contract.parts import FieldError, Part

DEFAULT_EXPERIMENT: Final = "dsnot"
_MODEL: Final = re.compile(r"^[^/:]*$")
_ALIAS: Final = re.compile(r"^[A-Za-z0-9_-]+$")
_RESERVED: Final = re.compile(r"(?i:latest|v\d+)")
"""Aliases that MLflow reserves, for the newest version and for versions by number."""


class MlflowState(StrEnum):
    """Progress of logging a job to MLflow."""

    WAITING = "waiting"
    """The job has not ended yet."""
    PENDING = "pending"
    """Waiting for the first attempt or a retry."""
    LOGGED = "logged"
    FAILED = "failed"
    """Refused by the server, or retried for a day without success."""
    SKIPPED = "skipped"
    """The job has ended without success."""


def _is_model(name: str) -> str:
    if not _MODEL.fullmatch(name):
        raise ValueError("must not contain '/' or ':', which MLflow allows in no model's name")
    return name


def _is_alias(name: str) -> str:
    if not _ALIAS.fullmatch(name):
        raise ValueError("must consist of letters, digits, '_' and '-'")
    if _RESERVED.fullmatch(name):
        raise ValueError("is reserved by MLflow; choose another, such as candidate")
    return name


class MlflowSpec(Part):
    """Run of the tracking server that a succeeded job is logged to, and the registered model that gets a version."""

    experiment: DisplayName = Field(DEFAULT_EXPERIMENT, description="created if it does not exist")
    run_name: DisplayName | None = Field(None, description="null: the job's name, or its model and recipe")
    registered_model: Annotated[DisplayName, AfterValidator(_is_model)] | None = Field(
        None,
        description="model that gets a version whose source is the artifact; created if it does not exist. null: no version",
        examples=["llama-sparse"],
        json_schema_extra={"pattern": _MODEL.pattern},
    )
    alias: Annotated[str, AfterValidator(_is_alias)] | None = Field(
        None,
        max_length=128,
        description="alias that moves to that version, unless a later version has it",
        examples=["candidate"],
        json_schema_extra={"pattern": _ALIAS.pattern},
    )

    @model_validator(mode="after")
    def _alias_has_a_model(self) -> "MlflowSpec":
        if self.alias is not None and self.registered_model is None:
            raise FieldError("/alias", "points to a version of a registered model; set registered_model as well")
        return self


class MlflowLog(BaseModel):
    """Progress and outcome of logging a job to MLflow."""

    model_config = ConfigDict(extra="ignore")

    state: MlflowState
    run_id: str | None = None
    run_url: str | None = Field(None, description="page of the run")
    model: str | None = Field(None, description="registered model")
    version: str | None = Field(None, description="its version whose source is the artifact")
    version_url: str | None = Field(None, description="page of the version")
    error: str | None = Field(None, description="why the last attempt failed")
    attempts: int = Field(0, description="attempts so far")
    next_attempt_at: datetime | None = Field(None, description="set while `state` is `pending`")
