"""Python client of the DSnoT service, and the models of its contract.

    from dsnot import Client

    with Client() as client:
        job = client.jobs.create(model="org/model", sparsity=0.5, preset="best")
        job.wait()
        job.download("pruned")

`Client` blocks, `AsyncClient` is for asyncio; both read `DSNOT_URL` and `DSNOT_API_KEY`. Every error is a `ClientError`.
"""

from service import client as _client
from service.client import *  # noqa: F403
from service.contract.artifacts import Manifest, ManifestFile
from service.contract.devices import DeviceClass
from service.contract.failures import Failure, FailureCode
from service.contract.formats import Format
from service.contract.gates import Gate
from service.contract.model_spec import ModelSpec
from service.contract.recipe.presets import Preset
from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import EventType, JobState, Stage
from service.contract.sweeps import SweepSpec, SweepState
from service.contract.webhooks import WebhookEvent

__all__ = [
    *_client.__all__,
    "DeviceClass",
    "EventType",
    "Failure",
    "FailureCode",
    "Format",
    "Gate",
    "JobSpec",
    "JobState",
    "Manifest",
    "ManifestFile",
    "ModelSpec",
    "Preset",
    "Scope",
    "Stage",
    "SweepSpec",
    "SweepState",
    "WebhookEvent",
]
