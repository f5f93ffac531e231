"""Secrets of webhooks and signatures of messages, as Standard Webhooks 1.0 has them (symmetric, `v1`)."""

import base64
import hashlib
import hmac
from uuid import UUID

PREFIX = "whsec_"


def secret_of(master: str, owner_id: UUID, number: int, *, kind: str = "webhook") -> str:
    """The secret of a webhook, or another `kind` of thing, after `number` - 1 rotations.

    It follows from the service's own secret and is stored nowhere.
    """
    return PREFIX + base64.b64encode(_hmac(master.encode(), f"{kind} {owner_id} {number}".encode())).decode()


def signatures(secrets: list[str], message_id: UUID, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret that is in force."""
    keys = (base64.b64decode(secret.removeprefix(PREFIX)) for secret in secrets)
    return " ".join(signature(key, str(message_id), str(timestamp), body) for key in keys)


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature, with its version."""
    return f"v1,{base64.b64encode(_hmac(key, f'{message_id}.{timestamp}.'.encode() + body)).decode()}"


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
