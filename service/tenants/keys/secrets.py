"""What a key is made of: `dsnot_<id>_<secret>`. Only the id and the SHA-256 of the secret are kept.

A plain hash is enough: the secret is 256 random bits, which nobody guesses, fast hash or slow.
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
"""No text is known whose SHA-256 it is."""


def new_id() -> str:
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(12))


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def plaintext_of(key_id: str, secret: str) -> str:
    return f"{_PREFIX}_{key_id}_{secret}"


def parts_of(plaintext: str) -> tuple[str, str] | None:
    """Id and secret; None for what is no key."""
    found = _KEY.fullmatch(plaintext)
    return (found[1], found[2]) if found else None


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def is_one_of(secret: str, *hashes: bytes | None) -> bool:
    """Whether it is the secret of a hash. It takes as long where there is no hash as where it is another's."""
    given = hash_of(secret)
    matches = [hmac.compare_digest(each or _NO_SECRET, given) for each in hashes]  # every one is compared, whichever it is
    return any(matches)
