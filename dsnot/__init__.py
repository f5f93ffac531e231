"""Python client of the DSnoT service, and the models of its contract.

    from dsnot import Client

    with Client() as client:
        job = client.create_job({"model": {"id": "org/model"}, "recipe": {"preset": "best"}})

`Client` blocks, `AsyncClient` is for asyncio; both read `DSNOT_URL` and `DSNOT_API_KEY`. Every error is a `ClientError`.
"""

from service import client as _client
from service.client import *  # noqa: F403
from service.contract import (
    DeviceClass,
    EventType,
    Failure,
    FailureCode,
    Format,
    JobSpec,
    JobState,
    Manifest,
    ManifestFile,
    ModelSpec,
    Preset,
    Scope,
    Stage,
    WebhookEvent,
)

__all__ = [
    *_client.__all__,
    "DeviceClass",
    "EventType",
    "Failure",
    "FailureCode",
    "Format",
    "JobSpec",
    "JobState",
    "Manifest",
    "ManifestFile",
    "ModelSpec",
    "Preset",
    "Scope",
    "Stage",
    "WebhookEvent",
]
