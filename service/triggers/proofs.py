"""Authentication of senders by a trigger's secret: the secret itself, or an HMAC signature."""

import hmac
import re
import time
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from service.hooks import signing

_TOLERANCE_SECONDS: Final = 300
_SECRET: Final = "x-webhook-secret"  # noqa: S105  # the header's name
_MLFLOW: Final = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
_STANDARD: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_CONTENT_TYPE: Final = "content-type"
"""Not signed, but it changes no event's identity."""
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


def is_given(headers: Mapping[str, str]) -> bool:
    """Return whether the request has a secret or signature header, valid or not."""
    return any(name in headers for name in (_SECRET, _MLFLOW[2], _STANDARD[2]))


def covered(headers: Mapping[str, str], body: bytes, secrets: list[str]) -> Mapping[str, str] | None:
    """Return the headers that a valid proof covers; None without one. Signatures expire after five minutes.

    A signature covers the message's id, but no other header: read from others, the id of a recorded message could be changed.
    """
    claims = [claim for secret in secrets for claim in _claims(headers, body, secret)]
    valid = [names for given, right, names in claims if hmac.compare_digest(given.encode(), right.encode())]
    return {name: headers[name] for name in valid[0] if name in headers} if valid else None


def _claims(headers: Mapping[str, str], body: bytes, secret: str) -> Iterator[tuple[str, str, Collection[str]]]:
    """Yield received and expected secrets and signatures, with the headers that they cover."""
    if _SECRET in headers:
        yield headers[_SECRET], secret, list(headers)
    if _is_fresh(headers, _MLFLOW):
        right = signing.signature(secret.encode(), headers[_MLFLOW[0]], headers[_MLFLOW[1]], body)
        yield headers[_MLFLOW[2]], right, (_CONTENT_TYPE, _MLFLOW[0])
    if _is_fresh(headers, _STANDARD):
        key = b64decode(secret.removeprefix(signing.PREFIX))
        right = signing.signature(key, headers[_STANDARD[0]], headers[_STANDARD[1]], body)
        for given in headers[_STANDARD[2]].split(" "):
            yield given, right, (_CONTENT_TYPE, _STANDARD[0])


def _is_fresh(headers: Mapping[str, str], names: tuple[str, str, str]) -> bool:
    if not all(headers.get(name) for name in names) or not _TIMESTAMP.fullmatch(headers[names[1]]):
        return False
    return abs(time.time() - int(headers[names[1]])) <= _TOLERANCE_SECONDS
