"""Tokens of the hub. Whoever runs the service puts them into files; jobs name them and never hold them.

`DSNOT_HUB_TOKENS_DIR/<tenant>/<name>` holds one token, as a mounted secret does. Where a job names none, the process's `HF_TOKEN`
is used.
"""

import re
from pathlib import Path
from typing import Final

from service.settings import Settings

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_BYTES: Final = 4096


class UnknownToken(ValueError):
    """There is no token of this name for the tenant."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no hub token {name!r} for this tenant; whoever runs the service puts it into DSNOT_HUB_TOKENS_DIR, "
            "a file of this name in the tenant's folder"
        )


def hub_token(settings: Settings, tenant: str, name: str | None) -> str | None:
    """The token of this name; None, for the environment's own, if none is named.

    Raises:
        UnknownToken: there is none, or it cannot be read.
    """
    if name is None:
        return None
    root = settings.hub_tokens_dir
    if root is None or not _TENANT.fullmatch(tenant):
        raise UnknownToken(name)
    token = _read(root / tenant / name)
    if not token or not token.isascii() or not token.isprintable():
        raise UnknownToken(name)
    return token


def _read(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.read(_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
