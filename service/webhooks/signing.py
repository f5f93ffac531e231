"""Secrets of webhooks and signatures of messages, as Standard Webhooks 1.0 has them (symmetric, `v1`)."""

import base64
import hashlib
import hmac
from uuid import UUID

_PREFIX = "whsec_"


def secret_of(master: str, webhook_id: UUID, number: int) -> str:
    """The secret of a webhook after `number` - 1 rotations. It follows from the service's own secret and is stored nowhere."""
    return _PREFIX + base64.b64encode(_hmac(master.encode(), f"webhook {webhook_id} {number}".encode())).decode()


def signatures(secrets: list[str], message_id: UUID, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret that is in force."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = (base64.b64decode(secret.removeprefix(_PREFIX)) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(_hmac(key, signed)).decode()}" for key in keys)


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
