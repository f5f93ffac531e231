"""API schemas of API keys."""

from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from service.contract.display_names import DisplayName
from service.contract.scopes import Scope
from service.database.tables.keys import ApiKey
from service.kit.datetimes import Moment

KeyId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{12}$")]
_EXAMPLE: Final[dict[str, Any]] = {
    "id": "abcdefgh1234",
    "tenant": "search",
    "name": "nightly pipeline",
    "scopes": ["jobs:read", "jobs:write"],
    "created_at": "2026-11-26T09:30:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-11-26T09:30:00Z",
    "old_secret_until": None,
}


class NewKey(BaseModel):
    """Name, scopes and expiry of a new API key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "nightly pipeline", "scopes": ["jobs:read", "jobs:write"]}]}
    )

    name: DisplayName = Field(description="display name, such as its purpose")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: Moment | None = Field(None, description="within ten years; null: valid until revoked")


class KeyRotation(BaseModel):
    """Options of a key rotation."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: StrictInt = Field(86_400, ge=0, le=2_592_000, description="seconds the old secret stays valid")


class KeyView(BaseModel):
    """An API key, without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _EXAMPLE})

    id: KeyId
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="precise to one minute")
    old_secret_until: datetime | None = Field(description="when the secret before the last rotation expires")


class KeyWithSecret(KeyView):
    """An API key with its plaintext, which is shown only once."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE | {"key": f"dsnot_abcdefgh1234_{'x' * 43}"}})

    key: str = Field(description="send it as `Authorization: Bearer …`")

    @classmethod
    def shown(cls, key: ApiKey, plaintext: str) -> Self:
        """Return the view of the key with its plaintext."""
        return cls(**KeyView.model_validate(key).model_dump(), key=plaintext)


class KeyPage(BaseModel):
    """One page of the tenant's keys, newest first."""

    items: list[KeyView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")
