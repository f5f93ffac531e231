"""A browser as far as HTTP goes: cookies, forms, and where redirects lead."""

import re
from typing import Any

import httpx

from tests.support.waiting import CEILING_SECONDS

COOKIE = "dsnot_session"
HTML = {"Accept": "text/html"}


def browser(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=HTML, timeout=CEILING_SECONDS, verify=False)  # noqa: S501  # no certificates to load


def sign_in(browser: httpx.Client, key: str, **fields: str) -> httpx.Response:
    return browser.post("/sign-in", data={"key": key, **fields})


def csrf_token(browser: httpx.Client, path: str = "/") -> str:
    """As a page holds it for its scripts."""
    found = re.search(r'<meta name="csrf-token" content="([0-9a-f]{64})">', browser.get(path).text)
    assert found
    return found[1]


def changing(browser: httpx.Client) -> dict[str, Any]:
    """The headers of a script's request that changes something."""
    return {"X-CSRF-Token": csrf_token(browser), "Sec-Fetch-Site": "same-origin", "Accept": "application/json"}
