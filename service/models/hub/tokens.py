"""Hub tokens: files that the operator provides and that jobs reference by name, never by value.

`DSNOT_HUB_TOKENS_DIR/<tenant>/<name>` contains one token, like a mounted secret. Jobs that name no token use the process's
`HF_TOKEN`.
"""

import re
from pathlib import Path
from typing import Final

from service.logging import hide
from service.settings import Settings

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_BYTES: Final = 4096


class UnknownToken(ValueError):
    """Token name that the tenant does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no hub token {name!r} for this tenant; the operator can add it to DSNOT_HUB_TOKENS_DIR "
            "as a file of this name in the tenant's folder"
        )


def hub_token(settings: Settings, tenant: str, name: str | None) -> str | None:
    """Return the token with this name; None, which selects the environment's own, if `name` is None.

    Raises:
        UnknownToken: the token does not exist or cannot be read.
    """
    if name is None:
        return None
    root = settings.hub_tokens_dir
    if root is None or not _TENANT.fullmatch(tenant):
        raise UnknownToken(name)
    token = _read(root / tenant / name)
    if not token or not token.isascii() or not token.isprintable():
        raise UnknownToken(name)
    hide(token)
    return token


def _read(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.read(_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
