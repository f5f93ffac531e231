"""Data types and constants shared by service and worker; imports pydantic and the standard library only."""

from service.contract.artifacts import (
    MANIFEST_NAME,
    REPORT_NAME,
    SUMS_NAME,
    Manifest,
    ManifestFile,
    artifact_prefix,
    blocks_prefix,
    job_prefix,
)
from service.contract.datasets import DATASETS, Dataset, dataset_of, is_upload, upload_id, upload_prefix
from service.contract.devices import ANY_DEVICE, QUEUE, QUEUES, DeviceClass, devices_served_by, queues_of
from service.contract.failures import Failure, FailureCode
from service.contract.formats import FORMATS, Format, WeightSizes
from service.contract.hub import HubUploadSpec
from service.contract.messages import EVENTS_CHANNEL, PRUNE_TASK
from service.contract.presets import PRESETS, Preset
from service.contract.provenance import PROVENANCE_NAME, EngineFacts, Provenance, SourceFacts, TaskFacts, TextFacts
from service.contract.scopes import Scope
from service.contract.signatures import SIGNATURE_NAME, SignatureFacts
from service.contract.spec import JobSpec, ModelSpec
from service.contract.states import (
    TERMINAL_STATES,
    TRANSITIONS,
    AttemptOutcome,
    EventType,
    JobState,
    Stage,
    WorkerDirective,
    sources_of,
)
from service.contract.triggers import TRIGGER_LABEL, EventKind, FiringOutcome, TriggerSource
from service.contract.webhooks import ENDS, TEST_EVENT, DeliveryState, WebhookEvent

__all__ = [
    "ANY_DEVICE",
    "DATASETS",
    "ENDS",
    "EVENTS_CHANNEL",
    "FORMATS",
    "MANIFEST_NAME",
    "PRESETS",
    "PROVENANCE_NAME",
    "PRUNE_TASK",
    "QUEUE",
    "QUEUES",
    "REPORT_NAME",
    "SIGNATURE_NAME",
    "SUMS_NAME",
    "TERMINAL_STATES",
    "TEST_EVENT",
    "TRANSITIONS",
    "TRIGGER_LABEL",
    "AttemptOutcome",
    "Dataset",
    "DeliveryState",
    "DeviceClass",
    "EngineFacts",
    "EventKind",
    "EventType",
    "Failure",
    "FailureCode",
    "FiringOutcome",
    "Format",
    "HubUploadSpec",
    "JobSpec",
    "JobState",
    "Manifest",
    "ManifestFile",
    "ModelSpec",
    "Preset",
    "Provenance",
    "Scope",
    "SignatureFacts",
    "SourceFacts",
    "Stage",
    "TaskFacts",
    "TextFacts",
    "TriggerSource",
    "WebhookEvent",
    "WeightSizes",
    "WorkerDirective",
    "artifact_prefix",
    "blocks_prefix",
    "dataset_of",
    "devices_served_by",
    "is_upload",
    "job_prefix",
    "queues_of",
    "sources_of",
    "upload_id",
    "upload_prefix",
]
