"""Who calls, and what they may do: FastAPI dependencies that endpoints name in their signatures."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from service.contract import Scope
from service.errors import Problem
from service.keys import operations
from service.resources import TheDatabase


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


_bearer: Final = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `dsnot_<id>_<secret>`")


def authenticate(
    request: Request,
    needed: SecurityScopes,
    database: TheDatabase,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """The caller, who holds a valid key with every scope that is needed."""
    if credentials is None:
        raise Unauthenticated("send an API key: Authorization: Bearer dsnot_…")
    key = operations.find_key(database, credentials.credentials)
    if key is None:
        raise Unauthenticated("the API key is malformed, unknown, expired or revoked", challenge='Bearer error="invalid_token"')
    caller = Caller(key.tenant, key.id, frozenset(key.scopes))
    request.state.caller = caller
    for scope in needed.scopes:
        if not caller.may(scope):
            raise Forbidden(f"this needs a key with the scope {scope}")
    return caller


JobReader = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_READ])]
JobWriter = Annotated[Caller, Security(authenticate, scopes=[Scope.JOBS_WRITE])]
ArtifactReader = Annotated[Caller, Security(authenticate, scopes=[Scope.ARTIFACTS_READ])]
