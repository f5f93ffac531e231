"""Events as their senders write them, made from the formats' documentation, and the headers that prove who sent them."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any, Final
from uuid import uuid4

HEAD: Final = "c379e821c9c95d613899e8c4343e4bfee2b0c600"

HUB: Final[dict[str, Any]] = {
    "event": {"action": "update", "scope": "repo.content"},
    "repo": {
        "type": "model",
        "name": "some-user/some-repo",
        "id": "6366c000a2abcdf2fd69a080",
        "private": False,
        "url": {"web": "https://hub.example/some-user/some-repo", "api": "https://hub.example/api/models/some-user/some-repo"},
        "headSha": HEAD,
        "tags": ["license:other"],
        "owner": {"id": "61d2000c3c2083e1c08af22d"},
    },
    "updatedRefs": [{"ref": "refs/heads/main", "oldSha": "ce9a4674fa833a68d5a73ec355f0ea95eedd60b7", "newSha": HEAD}],
    "webhook": {"id": "6390e855e30d9209411de93b", "version": 3},
}
MLFLOW: Final[dict[str, Any]] = {
    "entity": "model_version",
    "action": "created",
    "timestamp": "2026-01-31T12:00:00.000000+00:00",
    "data": {
        "name": "opt-125m",
        "version": "7",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"hub_id": "facebook/opt-125m"},
        "description": None,
    },
}
CLOUDEVENT: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/registry/models",
    "type": "com.example.model.registered",
    "subject": "opt",
    "time": "2026-01-31T12:00:00Z",
    "datacontenttype": "application/json",
    "data": {"model": "facebook/opt-125m"},
}
PLAIN: Final[dict[str, Any]] = {"id": "run-17", "model": "facebook/opt-125m", "samples": 16}


def mlflow_headers(secret: str, body: bytes, *, age: float = 0) -> dict[str, str]:
    """As MLflow signs: the secret's own text is the key."""
    delivery, at = str(uuid4()), str(int(time.time() - age))
    mac = hmac.new(secret.encode(), f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": at,
        "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def bytes_of(event: Any) -> bytes:
    return json.dumps(event).encode()
