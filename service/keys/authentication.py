"""Who calls, and what they may do: by an API key, or in a browser by the session that was opened with one.

`identify` comes before everything else that looks at a request: it finds the key's holder, counts the request and opens its entry
in the audit log. `authenticate` is the dependency that endpoints name in their signatures, with the scope that they need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from service.audit import trail
from service.contract import Scope
from service.database import Database, Session
from service.errors import Problem
from service.keys import operations, repository
from service.keys.repository import Found
from service.keys.secrets import parts_of
from service.quotas.operations import Limits, limits_of
from service.rates.limiter import Kind, RateLimited, RateLimiter
from service.resources import Resources, TheResources
from service.sessions import cookies, forgery
from service.sessions import operations as sessions
from service.settings import Settings

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEME: Final = "bearer "


class Unauthenticated(Problem):
    status, type, title = 401, "unauthenticated", "A valid API key is needed"

    def __init__(self, detail: str, *, challenge: str = "Bearer") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    status, type, title = 403, "forbidden", "The API key may not do this"


@dataclass(frozen=True)
class Caller:
    """The holder of a valid key."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


async def identify(request: Request, resources: TheResources) -> None:
    """Find out who calls, if they send a key or, without one, the cookie of a session.

    Raises:
        Unauthenticated: the key does not work, or the session has ended.
        CrossSite: something is to be changed by the cookie, and no page of ours asks for it.
        RateLimited: the key has been used too often within a minute.
    """
    plaintext, token = key_in(request), cookies.token_in(request)
    if plaintext is not None:
        parts = parts_of(plaintext)
        if parts is None:
            raise _unknown_key()
        await resources.arrivals.do(Arrival(request, *parts))
    elif token is not None:
        if request.method not in _SAFE:
            forgery.check(request, token, request.headers.get(forgery.HEADER))
        await run_in_threadpool(_admit_by_session, request, token, resources)


@dataclass(frozen=True)
class Arrival:
    """A request that shows a key."""

    request: Request
    key_id: str
    secret: str


def admit_arrivals(
    database: Database, settings: Settings, rates: RateLimiter, arrivals: Sequence[Arrival]
) -> list[Exception | None]:
    """`admit` for many requests; why, for those that are refused."""
    outcomes: list[Exception | None] = []
    admitted: list[tuple[Request, Found]] = []
    with database.at_once() as session:
        shown = [(arrival.key_id, arrival.secret) for arrival in arrivals]
        for arrival, found in zip(arrivals, operations.find_all(session, shown), strict=True):
            try:
                if found is None:
                    raise _unknown_key()
                _count(arrival.request, settings, rates, found)
            except Problem as problem:
                outcomes.append(problem)
            else:
                outcomes.append(None)
                admitted.append((arrival.request, found))
        _note(session, admitted)
    return outcomes


def _unknown_key() -> Unauthenticated:
    detail = "the API key is malformed, unknown, expired or revoked"
    return Unauthenticated(detail, challenge='Bearer error="invalid_token"')


def _admit_by_session(request: Request, token: str, resources: Resources) -> None:
    with resources.database.at_once() as session:
        admit(session, request, resources.settings, resources.rates, found_by_session(session, token))


def admit(session: Session, request: Request, settings: Settings, rates: RateLimiter, found: Found) -> None:
    """Note who calls, count the request, and open its entry in the audit log if it may change something. Raises RateLimited."""
    _count(request, settings, rates, found)
    _note(session, [(request, found)])


def recognise(request: Request, found: Found) -> Caller:
    """Note who calls."""
    caller = Caller(found.key.tenant, found.key.id, frozenset(found.key.scopes))
    request.state.caller = caller
    return caller


def _count(request: Request, settings: Settings, rates: RateLimiter, found: Found) -> None:
    """Raises RateLimited."""
    count(request, rates, recognise(request, found).key_id, limits_of(settings, found.quota))


def _note(session: Session, admitted: Sequence[tuple[Request, Found]]) -> None:
    for key_id in {found.key.id for _, found in admitted if not found.was_used_lately}:
        repository.note_use(session, key_id)
    trail.open_entries(session, [request for request, _ in admitted if request.method not in _SAFE])


def found_by_session(session: Session, token: str) -> Found:
    """Raises Unauthenticated."""
    found = sessions.find(session, token)
    if found is None:
        raise Unauthenticated("the session has ended; sign in again")
    return found


def key_in(request: Request) -> str | None:
    """What the request sends as its key."""
    given = request.headers.get("authorization", "")
    return given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else None


def count(request: Request, rates: RateLimiter, holder: str, limits: Limits) -> None:
    """Raises RateLimited if `holder` has sent too many requests of this one's kind."""
    kind = Kind.READS if request.method in _SAFE else Kind.WRITES
    limit = limits.reads_per_minute if kind is Kind.READS else limits.writes_per_minute
    if not limit:
        return
    standing, is_within = rates.count(kind, holder, limit=limit)
    request.state.standing = standing
    if not is_within:
        detail = f"{limit} {kind} a minute are allowed for one key; try again in {standing.reset_seconds} s"
        raise RateLimited(detail, retry_after=standing.reset_seconds)


bearer: Final = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `dsnot_<id>_<secret>`")
"""For the OpenAPI document, which is to say how the key is sent."""


async def authenticate(request: Request, needed: SecurityScopes, _declared: Annotated[Any, Security(bearer)]) -> Caller:
    """The caller, who holds a valid key with every scope that is needed."""
    return caller_of(request, needed)


def caller_of(request: Request, needed: SecurityScopes) -> Caller:
    """Raises Unauthenticated, Forbidden."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise Unauthenticated("send an API key: Authorization: Bearer dsnot_…")
    for scope in needed.scopes:
        if not caller.may(scope):
            raise Forbidden(f"this needs a key with the scope {scope}")
    return caller


JobReader = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_READ])]
JobWriter = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_WRITE])]
ArtifactReader = Annotated[Caller, Security(authenticate, scopes=[Scope.ARTIFACTS_READ])]
Admin = Annotated[Caller, Security(authenticate, scopes=[Scope.ADMIN])]
