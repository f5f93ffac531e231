"""The vocabulary that service and worker share; pydantic and the standard library only."""

from service.contract.artifacts import MANIFEST_NAME, Manifest, ManifestFile, artifact_prefix, blocks_prefix
from service.contract.datasets import DATASETS, Dataset
from service.contract.failures import Failure, FailureCode
from service.contract.messages import EVENTS_CHANNEL, PRUNE_TASK, QUEUE
from service.contract.presets import PRESETS, Preset
from service.contract.scopes import Scope
from service.contract.spec import JobSpec, ModelSpec
from service.contract.states import (
    TERMINAL_STATES,
    TRANSITIONS,
    AttemptOutcome,
    EventType,
    JobState,
    Stage,
    Wish,
    sources_of,
)

__all__ = [
    "DATASETS",
    "EVENTS_CHANNEL",
    "MANIFEST_NAME",
    "PRESETS",
    "PRUNE_TASK",
    "QUEUE",
    "TERMINAL_STATES",
    "TRANSITIONS",
    "AttemptOutcome",
    "Dataset",
    "EventType",
    "Failure",
    "FailureCode",
    "JobSpec",
    "JobState",
    "Manifest",
    "ManifestFile",
    "ModelSpec",
    "Preset",
    "Scope",
    "Stage",
    "Wish",
    "artifact_prefix",
    "blocks_prefix",
    "sources_of",
]
