"""Session cookie: HttpOnly, SameSite=Lax, and Secure under https."""

from typing import Final

from fastapi import Request, Response

COOKIE: Final = "dsnot_session"


def token_in(request: Request) -> str | None:
    """Return the session token of the request, if any."""
    return request.cookies.get(COOKIE) or None


def keep(response: Response, request: Request, token: str, *, seconds: float) -> None:
    """Set the cookie.

    `lax`, so that links from other sites open the page while signed in. The scheme comes from `X-Forwarded-Proto` if the server
    trusts the proxy (uvicorn's `FORWARDED_ALLOW_IPS`).
    """
    response.set_cookie(
        COOKIE, token, max_age=int(seconds), path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def drop(response: Response, request: Request) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https")
