"""Access to pages: session authentication, and the scopes that pages require."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.contract.scopes import Scope
from service.web import csrf as forgery
from service.web import session_cookie as cookies
from service.web.authentication import Caller, Forbidden, Unauthenticated, admit, key_of_session
from service.web.dependencies import TheDatabase, TheRates, TheSettings


@dataclass(frozen=True)
class Visitor:
    """Signed-in user of the dashboard."""

    caller: Caller
    key_name: str
    csrf_token: str

    @property
    def tenant(self) -> str:
        """The tenant of the key."""
        return self.caller.tenant

    @property
    def may_write(self) -> bool:
        """Whether the key has `jobs:write`."""
        return self.caller.may(Scope.JOBS_WRITE)

    @property
    def may_administer(self) -> bool:
        """Whether the key has `admin`."""
        return self.caller.may(Scope.ADMIN)

    @property
    def may_fetch(self) -> bool:
        """Whether the key has `artifacts:read`."""
        return self.caller.may(Scope.ARTIFACTS_READ)


def _reader(request: Request, settings: TheSettings, database: TheDatabase, rates: TheRates) -> Visitor:
    """Return the signed-in visitor. Raise Unauthenticated, which redirects to the sign-in page; Forbidden; RateLimited."""
    token = cookies.token_in(request)
    if token is None:
        raise Unauthenticated("sign in first")
    with database.at_once() as session:
        valid = key_of_session(session, token)
        admit(session, request, settings, rates, valid)
    visitor = Visitor(request.state.caller, valid.key.name, forgery.token_for(token))
    request.state.visitor = visitor
    if not visitor.caller.may(Scope.JOBS_READ):
        raise Forbidden(f"this page needs a key with the scope {Scope.JOBS_READ}; sign out and sign in with another key")
    return visitor


def check_may_write(visitor: Visitor, what: str) -> None:
    """Raise Forbidden unless the visitor has `jobs:write`; `what` is the subject of the message, such as `creating jobs`."""
    if not visitor.may_write:
        raise Forbidden(f"{what} needs a key with the scope {Scope.JOBS_WRITE}; sign out and sign in with another key")


Reader = Annotated[Visitor, Depends(_reader)]


def _administrator(reader: Reader) -> Visitor:
    """Return the visitor. Raise Forbidden without the scope `admin`."""
    if not reader.may_administer:
        raise Forbidden(f"this page needs a key with the scope {Scope.ADMIN}; sign out and sign in with another key")
    return reader


Administrator = Annotated[Visitor, Depends(_administrator)]
