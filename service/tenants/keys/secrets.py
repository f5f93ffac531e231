"""Format of API keys: `dsnot_<id>_<secret>`. Only the id and the SHA-256 of the secret are stored.

A fast hash is enough: a secret of 256 random bits cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

_PREFIX: Final = "dsnot"
_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_KEY: Final = re.compile(r"dsnot_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_SECRET: Final = bytes(32)
"""Placeholder hash; no preimage of it is known."""


def new_id() -> str:
    """Return a random key id."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(12))


def new_secret() -> str:
    """Return a random secret of 256 bits."""
    return secrets.token_urlsafe(32)


def plaintext_of(key_id: str, secret: str) -> str:
    """Return the key as clients send it."""
    return f"{_PREFIX}_{key_id}_{secret}"


def parts_of(plaintext: str) -> tuple[str, str] | None:
    """Return id and secret, or None if the text is not a key."""
    found = _KEY.fullmatch(plaintext)
    return (found[1], found[2]) if found else None


def hash_of(secret: str) -> bytes:
    """Return the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def is_one_of(secret: str, *hashes: bytes | None) -> bool:
    """Check in constant time whether the secret has one of the hashes; a missing hash takes as long as a wrong one."""
    given = hash_of(secret)
    matches = [hmac.compare_digest(each or _NO_SECRET, given) for each in hashes]  # no early exit: all are compared
    return any(matches)
