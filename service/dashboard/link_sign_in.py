"""Sign-in with a one-time link, as `dsnot open` prints it.

The token is in the fragment, which browsers send to no server: no log and no `Referer` contains it, and opening the address, as
previews and virus scanners do, uses nothing up. A script moves it into the form; the button signs in.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from service.api.sessions import LINK_PATH
from service.dashboard.rendering import page
from service.dashboard.signing_in import Form
from service.tenants.sessions import operations
from service.web import csrf as forgery
from service.web import session_cookie as cookies
from service.web.authentication import admit
from service.web.dependencies import TheDatabase, TheRates, TheSettings

router: Final = APIRouter(include_in_schema=False)

_USED: Final = "This link has been used, or is older than a minute. Get another one with dsnot open."


@router.get(LINK_PATH)
def show_link_sign_in(request: Request) -> Response:
    """Show the button that signs in; nothing else happens."""
    return page(request, "sign_in_link.html", error=None)


@router.post(LINK_PATH)
def sign_in_with_link(request: Request, form: Form, settings: TheSettings, database: TheDatabase, rates: TheRates) -> Response:
    """Open a session with the link's token, which is then used up, and set its cookie."""
    forgery.check_origin(request)
    with database.begin() as session:
        found = operations.use_link(session, form.get("token", ""))
        if found is None:
            return page(request, "sign_in_link.html", status=401, error=_USED)
        valid, secret_sha256 = found
        admit(session, request, settings, rates, valid)
        token = operations.add_session(session, valid.key.id, secret_sha256, seconds=settings.session_seconds)
    before = cookies.token_in(request)
    if before is not None:
        operations.close(database, before)
    response = RedirectResponse("/", 303)
    cookies.keep(response, request, token, seconds=settings.session_seconds)
    return response
