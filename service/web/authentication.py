"""Authentication and authorization by API key, or in a browser by the session opened with one.

`identify` runs before every other dependency: it authenticates the caller, counts the request against the rate limit and opens
its audit entry. `authenticate` is the dependency that endpoints declare, with the scopes that they require.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from service.contract.scopes import Scope
from service.database.engine import Database, Session
from service.errors import Problem
from service.settings import Settings
from service.tenants.keys import operations, repository
from service.tenants.keys.repository import ValidKey
from service.tenants.keys.secrets import parts_of
from service.tenants.quotas.operations import Limits, limits_of
from service.tenants.rates.limiter import Kind, RateLimited, RateLimiter
from service.tenants.sessions import operations as sessions
from service.web import audit_middleware as trail
from service.web import csrf as forgery
from service.web import session_cookie as cookies
from service.web.dependencies import TheDatabase, TheRates, TheSettings

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEME: Final = "bearer "


class Unauthenticated(Problem):
    """Problem 401: API key or session missing or invalid."""

    status, type, title = 401, "unauthenticated", "Authentication required"

    def __init__(self, detail: str, *, challenge: str = "Bearer") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    """Problem 403: the key lacks a scope."""

    status, type, title = 403, "forbidden", "Forbidden"


@dataclass(frozen=True)
class Caller:
    """Authenticated caller: tenant, key and scopes."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Return whether the key has the scope; `admin` includes all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def identify(request: Request, settings: TheSettings, database: TheDatabase, rates: TheRates) -> None:
    """Authenticate the caller by API key or, without one, by session cookie.

    Raises:
        Unauthenticated: the key is not valid, or the session has ended.
        CrossSite: a mutating request with a cookie does not come from a page of this service.
        RateLimited: the tenant has exceeded its requests per minute.
    """
    plaintext, token = key_in(request), cookies.token_in(request)
    if plaintext is not None:
        with database.at_once() as session:
            admit(session, request, settings, rates, _key_of(session, plaintext))
    elif token is not None:
        if request.method not in _SAFE:
            forgery.check(request, token, request.headers.get(forgery.HEADER))
        with database.at_once() as session:
            admit(session, request, settings, rates, key_of_session(session, token))


def is_still_valid(request: Request, database: Database) -> bool:
    """Return whether key or session of an authenticated request are valid now, for responses that last longer than a check."""
    plaintext, token = key_in(request), cookies.token_in(request)
    try:
        with database.at_once() as session:
            _key_of(session, plaintext) if plaintext is not None else key_of_session(session, token or "")
    except Unauthenticated:
        return False
    return True


def admit(session: Session, request: Request, settings: Settings, rates: RateLimiter, valid: ValidKey) -> None:
    """Set the request's caller, count the request and, if it is mutating, open its audit entry. Raise RateLimited."""
    caller = Caller(valid.key.tenant, valid.key.id, frozenset(valid.key.scopes))
    request.state.caller = caller
    count(request, rates, caller.tenant, limits_of(settings, valid.quota))
    if not valid.was_used_lately:
        repository.note_use(session, caller.key_id)
    if request.method not in _SAFE:
        trail.open_entry(session, request, tenant=caller.tenant, key_id=caller.key_id)


def _key_of(session: Session, plaintext: str) -> ValidKey:
    """Return the valid key of a plaintext. Raise Unauthenticated."""
    parts = parts_of(plaintext)
    valid = operations.find(session, *parts) if parts else None
    if valid is None:
        challenge = 'Bearer error="invalid_token"'
        raise Unauthenticated("the API key is malformed, unknown, expired or revoked; use a valid key", challenge=challenge)
    return valid


def key_of_session(session: Session, token: str) -> ValidKey:
    """Return the key that the session was opened with. Raise Unauthenticated."""
    valid = sessions.find(session, token)
    if valid is None:
        raise Unauthenticated("the session has ended; sign in again")
    return valid


def key_in(request: Request) -> str | None:
    """Return the bearer token of the request, if any."""
    given = request.headers.get("authorization", "")
    return given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else None


def count(request: Request, rates: RateLimiter, holder: str, limits: Limits) -> None:
    """Count the request. Raise RateLimited if `holder` exceeds the limit of reads or writes per minute."""
    kind = Kind.READS if request.method in _SAFE else Kind.WRITES
    limit = limits.reads_per_minute if kind is Kind.READS else limits.writes_per_minute
    if not limit:
        return
    standing, is_within = rates.count(kind, holder, limit=limit)
    request.state.standing = standing
    if not is_within:
        detail = f"the limit is {limit} {kind} per minute and tenant; retry in {standing.reset_seconds} s"
        raise RateLimited(detail, retry_after=standing.reset_seconds)


bearer: Final = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `dsnot_<id>_<secret>`")
"""Security scheme of the OpenAPI document."""


async def authenticate(request: Request, needed: SecurityScopes, _declared: Annotated[Any, Security(bearer)]) -> Caller:
    """Return the caller if its key has every required scope. Raise Unauthenticated, Forbidden."""
    return caller_of(request, needed)


def caller_of(request: Request, needed: SecurityScopes) -> Caller:
    """Return the caller if its key has every required scope. Raise Unauthenticated, Forbidden."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise Unauthenticated("send an API key: Authorization: Bearer dsnot_…")
    for scope in needed.scopes:
        if not caller.may(scope):
            raise Forbidden(f"the key lacks the scope {scope}; use a key that has it")
    return caller


JobReader = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_READ])]
JobWriter = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_WRITE])]
JobReaderAndWriter = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_READ, Scope.JOBS_WRITE])]
"""For subscriptions, which show jobs."""
ArtifactReader = Annotated[Caller, Security(authenticate, scopes=[Scope.ARTIFACTS_READ])]
Admin = Annotated[Caller, Security(authenticate, scopes=[Scope.ADMIN])]
