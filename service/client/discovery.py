"""URL and API key of the service: from the environment, else from the embedded stack of this home."""

import os
from pathlib import Path

from service.client.errors import NotConfigured
from service.embedded.lock import in_use
from service.embedded.record import API_KEY_FILE, StackRecord
from service.settings import HomeSettings


def address(url: str | None, key: str | None) -> tuple[str, str]:
    """Return the service's URL and an API key: those given, else the environment's, else those of the stack on this home."""
    if url is None or key is None:
        default_url, default_key = _default_address()
        url, key = url or default_url, key or default_key
    return url.rstrip("/"), key


def _default_address() -> tuple[str, str]:
    """Return `DSNOT_URL` and `DSNOT_API_KEY`, or URL and key of the stack on this home.

    The home's key is sent to the home's own stack only, never to another address.
    """
    url, key = os.environ.get("DSNOT_URL"), os.environ.get("DSNOT_API_KEY")
    if url and not key:
        raise NotConfigured("DSNOT_URL is set but DSNOT_API_KEY is not; set it to a key that `dsnot keys create` made")
    if url and key:
        return url, key
    home = HomeSettings().home
    return running_stack(home).url, key or _home_key(home)


def running_stack(home: Path) -> StackRecord:
    """Return the record of the stack that runs on this home.

    Raises:
        NotConfigured: none is running.
    """
    record = StackRecord.read(home) if in_use(home) else None
    if record is None:
        raise NotConfigured(f"no service is running on {home}; start one with `dsnot up`, or set DSNOT_URL and DSNOT_API_KEY")
    return record


def _home_key(home: Path) -> str:
    file = home / API_KEY_FILE
    try:
        return file.read_text().strip()
    except OSError as error:
        raise NotConfigured(f"the API key in {file} cannot be read ({error.strerror}); set DSNOT_API_KEY") from error
