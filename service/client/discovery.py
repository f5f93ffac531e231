"""URL and API key of the service: from the environment, else from `dsnot login`, else from the embedded stack of this home."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from service.client import login
from service.client.errors import NotConfigured
from service.embedded.lock import in_use
from service.embedded.record import API_KEY_FILE, StackRecord
from service.settings import HomeSettings, HomeUnknown

_KEY: Final = re.compile("[!-~]+")


def address(url: str | None, key: str | None) -> tuple[str, str]:
    """Return the service's URL and an API key: those given, else the environment's, a login's, or those of this home's stack.

    Raises:
        NotConfigured: one of them is missing or malformed.
    """
    if url is None or key is None:
        default_url, default_key = _default_address()
        url, key = url or default_url, key or default_key
    return _checked_url(url.strip()), _checked_key(key.strip())


def _checked_url(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise NotConfigured(
            "the URL of the service is malformed; set DSNOT_URL to one such as https://dsnot.example, or run `dsnot login`"
        )
    if parts.userinfo or parts.query or parts.fragment:
        raise NotConfigured("the URL of the service has more than host and path; leave out user name, query and fragment")
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise NotConfigured("the API key is empty or has blanks, line breaks or other characters that no key has; copy it again")
    return key


@contextmanager
def proxied() -> Iterator[None]:
    """Report unusable proxies and certificates of the environment, which the HTTP client reads when it is created."""
    try:
        yield
    except ImportError as error:
        raise NotConfigured("the environment names a SOCKS proxy, which needs another package; install httpx[socks]") from error
    except (httpx.InvalidURL, ValueError) as error:
        variables = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY"
        raise NotConfigured(
            f"{variables} is malformed; in NO_PROXY, write IPv6 addresses without brackets or networks"
        ) from error
    except OSError as error:
        raise NotConfigured("SSL_CERT_FILE or SSL_CERT_DIR names no readable certificates; correct or unset it") from error


def _default_address() -> tuple[str, str]:
    """Return `DSNOT_URL` and `DSNOT_API_KEY`, or URL and key of the login, or of the stack on this home.

    A stored key is sent to the address that it was stored for only, and the home's key to the home's own stack.
    """
    url, key = os.environ.get("DSNOT_URL"), os.environ.get("DSNOT_API_KEY")
    if url:
        return url, key or _stored_key(url)
    if found := login.active():
        return found.url, key or found.key
    home = this_home()
    return running_stack(home).url, key or _home_key(home)


def _stored_key(url: str) -> str:
    """Return the key of the login at this address."""
    found = login.stored()
    if found is None or found.url != url.strip().rstrip("/"):
        raise NotConfigured(
            "DSNOT_URL is set but DSNOT_API_KEY is not; set it to a key that `dsnot keys create` made, or run `dsnot login`"
        )
    return found.key


def this_home() -> Path:
    """Return the data directory of the embedded stack: `DSNOT_HOME`, or a folder of the user.

    Raises:
        NotConfigured: the user has no home directory.
    """
    try:
        return HomeSettings().home
    except HomeUnknown as error:
        raise NotConfigured(str(error)) from error


def running_stack(home: Path) -> StackRecord:
    """Return the record of the stack that runs on this home.

    Raises:
        NotConfigured: none is running.
    """
    if not in_use(home):
        raise NotConfigured(
            f"no service is running on {home}; start one with `dsnot up`, "
            "or name one with `dsnot login`, or DSNOT_URL and DSNOT_API_KEY"
        )
    record = StackRecord.read(home)
    if record is None:
        raise NotConfigured(f"the stack on {home} is starting or stopping; repeat the command in a few seconds")
    return record


def _home_key(home: Path) -> str:
    file = home / API_KEY_FILE
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise NotConfigured(f"the API key in {file} cannot be read ({reason}); set DSNOT_API_KEY") from error
