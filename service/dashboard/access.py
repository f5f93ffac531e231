"""Who looks at a page: whoever has signed in. What their key may not do is not offered to them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.contract import Scope
from service.web import csrf as forgery
from service.web import session_cookie as cookies
from service.web.authentication import Caller, Forbidden, Unauthenticated, admit, key_of_session
from service.web.dependencies import TheDatabase, TheRates, TheSettings


@dataclass(frozen=True)
class Visitor:
    """Somebody who has signed in."""

    caller: Caller
    key_name: str
    csrf_token: str

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    @property
    def may_write(self) -> bool:
        return self.caller.may(Scope.JOBS_WRITE)

    @property
    def may_administer(self) -> bool:
        return self.caller.may(Scope.ADMIN)

    @property
    def may_fetch(self) -> bool:
        return self.caller.may(Scope.ARTIFACTS_READ)


def _reader(request: Request, settings: TheSettings, database: TheDatabase, rates: TheRates) -> Visitor:
    """Raises Unauthenticated, which leads to the sign-in page; Forbidden; RateLimited."""
    token = cookies.token_in(request)
    if token is None:
        raise Unauthenticated("sign in first")
    with database.at_once() as session:
        valid = key_of_session(session, token)
        admit(session, request, settings, rates, valid)
    visitor = Visitor(request.state.caller, valid.key.name, forgery.token_for(token))
    request.state.visitor = visitor
    if not visitor.caller.may(Scope.JOBS_READ):
        raise Forbidden(f"this page needs a key with the scope {Scope.JOBS_READ}; sign out, and in again with another key")
    return visitor


def check_may_write(visitor: Visitor, what: str) -> None:
    """Raises Forbidden, with `what` as the words for it: `making jobs`."""
    if not visitor.may_write:
        raise Forbidden(f"{what} needs a key with the scope {Scope.JOBS_WRITE}; sign out, and in again with another key")


Reader = Annotated[Visitor, Depends(_reader)]


def _administrator(reader: Reader) -> Visitor:
    """Raises Forbidden."""
    if not reader.may_administer:
        raise Forbidden(f"this page needs a key with the scope {Scope.ADMIN}; sign out, and in again with another key")
    return reader


Administrator = Annotated[Visitor, Depends(_administrator)]
