"""Failure codes of jobs, each with a sentence for the user."""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

GPU_LOST: Final = "gpu-lost"
"""Reason why an attempt ended without counting. No failure code: services of the release before could not read it."""
_MOST: Final = 500
"""Characters of a detail: names in a model's files are of any length."""


def shortened(detail: str) -> str:
    """Return a sentence about foreign names with at most 500 characters."""
    return detail if len(detail) <= _MOST else f"{detail[: _MOST // 2]} … {detail[-_MOST // 2 + 3 :]}"


class FailureCode(StrEnum):
    """Reason why a job failed, with a sentence for the user and whether a retry can help."""

    sentence: str
    retryable: bool

    def __new__(cls, value: str, sentence: str, retryable: bool) -> "FailureCode":
        """Return a member whose value is the code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        member.retryable = retryable
        return member

    MODEL_NOT_FOUND = "model-not-found", "The model or the requested revision does not exist.", False
    MODEL_ACCESS_DENIED = "model-access-denied", "The model exists, but this service may not read it.", False
    MODEL_UNSAFE = "model-unsafe", "The checkpoint needs code or formats that are never executed here.", False
    HUB_UNAVAILABLE = "hub-unavailable", "The model hub could not be reached.", True
    ARCHITECTURE_UNSUPPORTED = "architecture-unsupported", "The engine cannot prune this architecture.", False
    DATASET_UNAVAILABLE = "dataset-unavailable", "A data set could not be read.", True
    TASK_NOT_FOUND = "task-not-found", "The worker's evaluation harness has no task of this name.", False
    TASK_UNSUPPORTED = "task-unsupported", "The task needs a feature that this service does not support.", False
    TASK_DATA_UNAVAILABLE = "task-data-unavailable", "The data of a task could not be read.", True
    NOT_ENOUGH_CALIBRATION_DATA = (
        "not-enough-calibration-data",
        "The data set is too short for the requested samples.",
        False,
    )
    OUT_OF_DEVICE_MEMORY = "out-of-device-memory", "The device ran out of memory.", False
    OUT_OF_HOST_MEMORY = "out-of-host-memory", "The worker's host ran out of memory.", True
    DISK_FULL = "disk-full", "The worker's disk is full.", True
    NUMERICAL_FAILURE = "numerical-failure", "Weights or activations are not finite.", False
    ARTIFACT_UPLOAD_FAILED = "artifact-upload-failed", "A request to the artifact store failed.", True
    DEADLINE_EXCEEDED = "deadline-exceeded", "The run took longer than its deadline allows.", False
    INVALID_REQUEST = "invalid-request", "The job's settings do not fit the model.", False
    WORKER_LOST = "worker-lost", "The worker disappeared on every attempt.", False
    INTERNAL = "internal", "An internal error occurred that the job did not cause.", True


class Failure(BaseModel):
    """The `error` of a failed job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: FailureCode
    detail: str
    retryable: bool
