"""Hugging Face Hub settings in a job's body: names of tokens, and the target of an upload."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from service.contract.parts import FieldError, Part

TOKEN_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # noqa: S105
_TOKEN: Final = re.compile(r"(hf|api_org)_[A-Za-z0-9]{20,}")
"""Pattern of an actual token, which is rejected in place of a token's name, because specs are stored and shown."""
_PART: Final = r"[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}/{_PART}")
_BRANCH: Final = re.compile(rf"{_PART}(/{_PART})*")


def check_token_name(name: str) -> None:
    """Raise FieldError at `/token` if the name is itself a token."""
    if _TOKEN.fullmatch(name):
        raise FieldError("/token", "is a token itself; give the name under which the operator keeps it, and revoke this token")


def _is_repository(name: str) -> str:
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(
            "must be 'owner/name': letters, digits and '_', with single '.' and '-' between them, no URL; the owner is a user "
            "or an organisation of the hub"
        )
    if name.endswith(".git"):
        raise ValueError("must not end in .git; the hub allows no such name")
    return name


def _is_branch(name: str) -> str:
    if not _BRANCH.fullmatch(name):
        raise ValueError("must be a plain branch name: letters, digits and '_', with single '.', '-' and '/' between them")
    return name


class HubUploadSpec(Part):
    """Repository on the hub that the artifact is uploaded to, in addition to the service's own store."""

    repo: Annotated[str, AfterValidator(_is_repository)] = Field(
        max_length=96,
        description="model repository, `owner/name`; created if it does not exist",
        examples=["organisation/llama-sparse"],
        json_schema_extra={"pattern": f"^{_REPOSITORY.pattern}$"},
    )
    token: str = Field(
        pattern=TOKEN_NAME,
        description="name of a token with write access that the operator keeps for this tenant; never the token itself",
        examples=["research"],
    )
    private: bool = Field(
        True, description="visibility of a created repository; true also refuses to upload to an existing public one"
    )
    branch: Annotated[str, AfterValidator(_is_branch)] = Field(
        "main",
        max_length=96,
        description="branch of the commit; created from the main branch if it does not exist",
        json_schema_extra={"pattern": f"^{_BRANCH.pattern}$"},
    )

    @model_validator(mode="after")
    def _names_its_token(self) -> "HubUploadSpec":
        check_token_name(self.token)
        return self
