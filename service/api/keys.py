"""Routes of the tenant's API keys; the scope admin is required."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Response

from service.errors import Conflict, NotFound
from service.tenants.keys import operations
from service.tenants.keys.schemas import KeyId, KeyPage, KeyRotation, KeyView, KeyWithSecret, NewKey
from service.web.authentication import Admin
from service.web.dependencies import TheDatabase
from service.web.headers import LOCATION
from service.web.problem_responses import problem_responses
from service.web.query_parameters import PageCursor, PageLimit
from service.web.request_body import BODY_PROBLEMS

router = APIRouter(prefix="/v1/keys", tags=["keys"])

_Id = Annotated[KeyId, Path(description="middle part of `dsnot_<id>_<secret>`")]


@router.post(
    "",
    status_code=201,
    response_model=KeyWithSecret,
    responses={201: {"headers": LOCATION}, **problem_responses(Conflict, *BODY_PROBLEMS)},
)
def create_key(wanted: NewKey, caller: Admin, database: TheDatabase, response: Response) -> KeyWithSecret:
    """Create a key of the caller's tenant. Its plaintext is returned only once."""
    operations.check_end(wanted.expires_at)
    made = operations.create_key(
        database, tenant=caller.tenant, name=wanted.name, scopes=wanted.scopes, expires_at=wanted.expires_at
    )
    response.headers["Location"] = f"/v1/keys/{made[0].id}"
    response.headers["Cache-Control"] = "no-store"
    return KeyWithSecret.shown(*made)


@router.get("", response_model=KeyPage)
def list_keys(
    caller: Admin,
    database: TheDatabase,
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> KeyPage:
    """List the tenant's keys, newest first, including expired and revoked ones."""
    page = operations.list_newest(database, tenant=caller.tenant, cursor=cursor, limit=limit)
    return KeyPage(items=[KeyView.model_validate(key) for key in page.items], next_cursor=page.next_cursor)


@router.get("/{key_id}", response_model=KeyView, responses=problem_responses(NotFound))
def get_key(key_id: _Id, caller: Admin, database: TheDatabase) -> KeyView:
    """Return one key."""
    return KeyView.model_validate(operations.get_key(database, key_id, tenant=caller.tenant))


@router.post("/{key_id}/rotate", response_model=KeyWithSecret, responses=problem_responses(NotFound, Conflict, *BODY_PROBLEMS))
def rotate_key(
    key_id: _Id,
    caller: Admin,
    database: TheDatabase,
    response: Response,
    wanted: Annotated[KeyRotation | None, Body()] = None,
) -> KeyWithSecret:
    """Rotate the key's secret. The old secret stays valid for a while, as a transition period for clients."""
    overlap = (wanted or KeyRotation()).overlap_seconds
    response.headers["Cache-Control"] = "no-store"
    return KeyWithSecret.shown(*operations.rotate_key(database, key_id, overlap_seconds=overlap, tenant=caller.tenant))


@router.post("/{key_id}/revoke", response_model=KeyView, responses=problem_responses(NotFound, Conflict))
def revoke_key(key_id: _Id, caller: Admin, database: TheDatabase) -> KeyView:
    """Revoke the key from the next request on. Idempotent; the last key with the scope admin cannot be revoked."""
    return KeyView.model_validate(operations.revoke_key(database, key_id, tenant=caller.tenant))
