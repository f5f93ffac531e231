"""Requests that another site has a signed-in browser send are refused.

Browsers send the cookie by themselves, so it does not prove that our page asked. Whoever changes something shows a token besides
that only our pages contain, and the browser itself must not say that the request comes from elsewhere.
"""

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from service.errors import Problem

HEADER: Final = "X-CSRF-Token"
FIELD: Final = "csrf_token"
"""The same, in a form."""


class CrossSite(Problem):
    status, type, title = 403, "cross-site-request", "The request does not come from a page of this service"


def token_for(session_token: str) -> str:
    """Bound to the session; nobody can make it who does not know the session's token."""
    return hmac.new(session_token.encode(), b"dsnot csrf", hashlib.sha256).hexdigest()


def check(request: Request, session_token: str, shown: str | None) -> None:
    """Raises CrossSite for a request that changes something and was not made by a page of ours."""
    check_origin(request)
    if not hmac.compare_digest(token_for(session_token).encode(), (shown or "").encode("utf-8", "replace")):
        raise CrossSite(f"send the page's token in {HEADER}; load the page again if you have signed in anew")


def check_origin(request: Request) -> None:
    """Raises CrossSite if the browser says that another site's page sends the request."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossSite("the request comes from a page of another site")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSite("the request comes from a page of another origin")
