"""Session cookie: HttpOnly, SameSite=Lax, and Secure under https."""

from typing import Any, Final

from fastapi import Request, Response

from service.web.proxy_headers import prefix_of

COOKIE: Final = "dsnot_session"


def token_in(request: Request) -> str | None:
    """Return the session token of the request, if any."""
    return request.cookies.get(COOKIE) or None


def keep(response: Response, request: Request, token: str, *, seconds: float) -> None:
    """Set the cookie.

    `lax`, so that links from other sites open the page while signed in.
    """
    response.set_cookie(COOKIE, token, max_age=int(seconds), **_attributes(request))


def drop(response: Response, request: Request) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, **_attributes(request))


def _attributes(request: Request) -> Any:
    is_https = request.url.scheme == "https"
    return {"path": prefix_of(request) or "/", "httponly": True, "samesite": "lax", "secure": is_https}
