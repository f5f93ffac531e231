"""The cookie that holds a session's token. Script cannot read it, nor can other sites have it sent to change anything."""

from typing import Final

from fastapi import Request, Response

COOKIE: Final = "dsnot_session"


def token_in(request: Request) -> str | None:
    return request.cookies.get(COOKIE) or None


def keep(response: Response, request: Request, token: str, *, seconds: float) -> None:
    """Have the browser send the token from now on.

    `lax`, so that a link in a chat opens the page it leads to. The scheme is that of `X-Forwarded-Proto` where the server trusts
    the proxy (uvicorn's `FORWARDED_ALLOW_IPS`).
    """
    response.set_cookie(
        COOKIE, token, max_age=int(seconds), path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )


def drop(response: Response, request: Request) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https")
