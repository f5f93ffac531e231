"""Model of a job: its source, id, revision and access token."""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from service.contract.hub import TOKEN_NAME, check_token_name
from service.contract.parts import FieldError, Part

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_LOCAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95}){0,3}")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_JOB_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FENCE: Final = re.compile(r"[1-9][0-9]{0,9}")
_CONTENT: Final = re.compile(r"[0-9a-f]{64}")
"""Patterns in the OpenAPI document are documentation only; violations get the service's own error messages."""


class ModelSpec(Part):
    """The model to prune."""

    source: Literal["hub", "local", "job"] = Field(
        "hub", description="`hub`, `local`: a folder below the server's model root, or `job`: the artifact of an earlier job"
    )
    id: str = Field(
        max_length=256,
        description="id of the hub model, folder or job",
        examples=["meta-llama/Llama-3.1-8B"],
        json_schema_extra={"pattern": f"^{_LOCAL_ID.pattern}$"},
    )
    revision: Annotated[str, Field(max_length=128, json_schema_extra={"pattern": f"^{_REVISION.pattern}$"})] | None = Field(
        None,
        description="hub: branch, tag or commit; stored as the commit. local: SHA-256 of the folder's files, as in "
        "`recipe.json`; a job fails on another state. job: filled in by the service",
    )
    token: str | None = Field(
        None,
        pattern=TOKEN_NAME,
        description="hub only: name of a token that the operator keeps for this tenant; never the token itself",
        examples=["research"],
    )

    @model_validator(mode="after")
    def _names_are_plain(self) -> "ModelSpec":
        if self.source == "job":
            if not _JOB_ID.fullmatch(self.id):
                raise FieldError("/id", "must be the id of an earlier job, in lower case")
        elif not (_HUB_ID if self.source == "hub" else _LOCAL_ID).fullmatch(self.id) or ".." in self.id:
            raise FieldError(
                "/id",
                "must be a plain name such as 'organisation/model': letters, digits, '.', '_' and '-', no '..', "
                "no leading '/', no URL",
            )
        self._fits_its_source()
        return self

    def _fits_its_source(self) -> None:
        if self.token is not None and self.source != "hub":
            raise FieldError("/token", "applies to hub models only; leave it out")
        if self.token is not None:
            check_token_name(self.token)
        if self.revision is None:
            return
        if self.source == "local" and not _CONTENT.fullmatch(self.revision):
            raise FieldError(
                "/revision",
                "must be the SHA-256 of a local model's files, as in the recipe.json of an artifact; leave it out to prune the "
                "folder's present state",
            )
        if self.source == "job" and not _FENCE.fullmatch(self.revision):
            raise FieldError("/revision", "is filled in by the service; leave it out")
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise FieldError("/revision", "must be a branch, tag or commit name")


def cache_key(source: str, model_id: str, revision: str) -> str:
    """Return the key of a model at one revision in a worker's cache, by which a worker prefers jobs."""
    return f"{source}:{model_id}@{revision}"
