"""Sign-in with an API key, and sign-out. The key is exchanged for a session: no URL, log or response contains it."""

import asyncio
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from service.api.sessions import LINK_PATH
from service.dashboard.rendering import page
from service.errors import MalformedBody, UnsupportedMediaType
from service.tenants.keys import operations as keys
from service.tenants.keys.secrets import parts_of
from service.tenants.sessions import operations
from service.web import audit_middleware as trail
from service.web import csrf as forgery
from service.web import session_cookie as cookies
from service.web.authentication import admit
from service.web.dependencies import TheDatabase, TheRates, TheSettings
from service.web.request_body import BODY_SECONDS, media_type_of, stalled
from service.web.streamed_body import pieces

FORMS: Final = ("/sign-in", LINK_PATH, "/sign-out", "/sign-out/everywhere")
"""Paths that take form data instead of JSON."""

router: Final = APIRouter(include_in_schema=False)

_MAX_FORM_BYTES: Final = 8192
_NO_KEY: Final = "This is not an API key. Keys look like dsnot_<id>_<secret>, without spaces; paste the full key."
_UNKNOWN: Final = "This key is unknown, expired or revoked. Ask your administrator for a new one."


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a small form; the last value of repeated fields."""
    if media_type_of(request.headers) != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("send the form as application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = b"".join([piece async for piece in pieces(request, _MAX_FORM_BYTES)])
    except TimeoutError:
        raise stalled(f"the form did not arrive within {BODY_SECONDS:.0f} s; send it again") from None
    try:
        return {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=10).items()}
    except ValueError:
        raise MalformedBody("the form data cannot be parsed; send URL-encoded UTF-8 with at most 10 fields") from None


Form = Annotated[dict[str, str], Depends(_form)]


def safe_next(address: str | None) -> str:
    """Return the redirect target after sign-in if it is a local path, else `/`; guards against open redirects."""
    text = address or "/"
    is_plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable() and " " not in text
    return text if is_plain and not urlsplit(text).netloc else "/"


@router.get("/sign-in")
def show_sign_in(request: Request, next: Annotated[str | None, Query(max_length=2048)] = None) -> Response:  # noqa: A002
    """Show the sign-in form."""
    return page(request, "sign_in.html", next=safe_next(next), error=None)


@router.post("/sign-in")
def sign_in(request: Request, form: Form, settings: TheSettings, database: TheDatabase, rates: TheRates) -> Response:
    """Open a session and set its cookie."""
    forgery.check_origin(request)
    destination = safe_next(form.get("next"))
    parts = parts_of(form.get("key", "").strip())
    with database.begin() as session:
        found = keys.find(session, *parts) if parts else None
        if parts is None or found is None:
            error = _UNKNOWN if parts else _NO_KEY
            return page(request, "sign_in.html", status=401, next=destination, error=error)
        admit(session, request, settings, rates, found)
        token = operations.open_session(session, *parts, seconds=settings.session_seconds)
    before = cookies.token_in(request)
    if before is not None:
        operations.close(database, before)
    response = RedirectResponse(destination, 303)
    cookies.keep(response, request, token, seconds=settings.session_seconds)
    return response


@router.post("/sign-out")
def sign_out(request: Request, form: Form, database: TheDatabase) -> Response:
    """End this browser's session."""
    return _sign_out(request, form, database, everywhere=False)


@router.post("/sign-out/everywhere")
def sign_out_everywhere(request: Request, form: Form, database: TheDatabase) -> Response:
    """End every session opened with this key."""
    return _sign_out(request, form, database, everywhere=True)


def _sign_out(request: Request, form: dict[str, str], database: TheDatabase, *, everywhere: bool) -> Response:
    response, token = RedirectResponse("/sign-in", 303), cookies.token_in(request)
    if token is None:
        return response
    forgery.check(request, token, form.get(forgery.FIELD))
    with database.begin() as session:
        found = operations.find(session, token)
        if found is not None:
            trail.open_entry(session, request, tenant=found.key.tenant, key_id=found.key.id)
    operations.close(database, token)
    if found is not None and everywhere:
        operations.close_all(database, found.key.id)
    cookies.drop(response, request)
    return response
