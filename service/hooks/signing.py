"""Derivation of secrets, and signatures of Standard Webhooks 1.0 (symmetric, `v1`)."""

import base64
import hashlib
import hmac
from uuid import UUID

PREFIX = "whsec_"


def secret_of(master: str, noun: str, hook_id: UUID, number: int) -> str:
    """Return the secret of a webhook or trigger after `number` - 1 rotations.

    Derived from the service's master secret and never stored.
    """
    return PREFIX + base64.b64encode(_hmac(master.encode(), f"{noun} {hook_id} {number}".encode())).decode()


def signatures(secrets: list[str], message_id: UUID, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`, with one signature per valid secret."""
    keys = (base64.b64decode(secret.removeprefix(PREFIX)) for secret in secrets)
    return " ".join(signature(key, str(message_id), str(timestamp), body) for key in keys)


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return one signature with its version prefix."""
    return f"v1,{base64.b64encode(_hmac(key, f'{message_id}.{timestamp}.'.encode() + body)).decode()}"


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
