"""Routes of browser sessions: the one-time link that opens one."""

from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.tenants.keys.secrets import parts_of
from service.tenants.sessions import operations
from service.web.authentication import Forbidden, JobReader, key_in
from service.web.dependencies import TheDatabase

router = APIRouter(prefix="/v1/sessions", tags=["keys"])

LINK_SECONDS: Final = 60
LINK_PATH: Final = "/sign-in/link"
"""Page of the dashboard that takes the token."""


class SignInLinkView(BaseModel):
    """A link that opens one browser session with the caller's key."""

    model_config = ConfigDict(json_schema_extra={"example": {"path": f"{LINK_PATH}#{'x' * 43}", "valid_seconds": LINK_SECONDS}})

    path: str = Field(description="append it to the base URL of the service; the fragment is not sent to servers")
    valid_seconds: int


@router.post("/links", response_model=SignInLinkView)
def create_sign_in_link(_caller: JobReader, request: Request, database: TheDatabase, response: Response) -> SignInLinkView:
    """Create a link that signs one browser in to the dashboard, once, within a minute. Needs an API key, not a session."""
    parts = parts_of(key_in(request) or "")
    if parts is None:
        raise Forbidden("a sign-in link is created with an API key: Authorization: Bearer dsnot_…")
    with database.begin() as session:
        token = operations.create_link(session, *parts, seconds=LINK_SECONDS)
    response.headers["Cache-Control"] = "no-store"
    return SignInLinkView(path=f"{LINK_PATH}#{token}", valid_seconds=LINK_SECONDS)
