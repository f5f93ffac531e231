"""CSRF protection of requests authenticated by the session cookie.

Browsers attach the cookie to cross-site requests as well. Mutating requests therefore also need a token that only pages of this
service contain, and `Sec-Fetch-Site` or `Origin` must not name another site.
"""

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from service.errors import Problem

HEADER: Final = "X-CSRF-Token"
FIELD: Final = "csrf_token"
"""Form field of the token."""


class CrossSite(Problem):
    """Problem 403: CSRF check failed."""

    status, type, title = 403, "cross-site-request", "Cross-site request rejected"


def token_for(session_token: str) -> str:
    """Return the CSRF token, an HMAC keyed by the session token."""
    return hmac.new(session_token.encode(), b"dsnot csrf", hashlib.sha256).hexdigest()


def check(request: Request, session_token: str, shown: str | None) -> None:
    """Raise CrossSite unless origin and CSRF token of a mutating request are valid."""
    check_origin(request)
    if not hmac.compare_digest(token_for(session_token).encode(), (shown or "").encode("utf-8", "replace")):
        raise CrossSite(f"the CSRF token in {HEADER} is missing or invalid; load the page again")


def check_origin(request: Request) -> None:
    """Raise CrossSite if the browser's headers name another site or origin."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossSite("the request comes from a page of another site")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSite(
            "the request comes from a page of another origin; a proxy in front of the service must pass on the header Host "
            "(nginx: proxy_set_header Host $http_host)"
        )
