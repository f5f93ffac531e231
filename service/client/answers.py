"""What the service answers. Fields that a newer service adds are kept, so that nothing is lost on the way to `--json`."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.contract import TERMINAL_STATES, AttemptOutcome, Failure, JobState, Stage


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Progress(Answer):
    """How far the current stage is."""

    done: int
    total: int
    unit: str
    eta_seconds: float | None = None


class Job(Answer):
    """One request to prune one model."""

    id: str
    state: JobState
    stage: Stage | None = None
    progress: Progress | None = None
    spec: dict[str, Any]
    labels: dict[str, str] = {}
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    metrics: dict[str, Any] | None = None
    error: Failure | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def model(self) -> str:
        return str(self.spec["model"]["id"])


class Attempt(Answer):
    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None
    detail: str | None = None


class Worker(Answer):
    """A process that takes jobs."""

    id: str
    state: str
    device: str
    device_name: str
    device_memory_bytes: int | None = None
    host_memory_bytes: int
    used_memory_bytes: int
    free_disk_bytes: int
    job_id: str | None = None
    attempt: int | None = None
    started_at: datetime
    seen_at: datetime


class ModelInfo(Answer):
    """What a model is, told without its weights."""

    model: dict[str, Any]
    can_be_pruned: bool
    why_not: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    dtype: str
    parameters: int
    prunable_share: float
    coverage: float
    blocks: int
    weight_bytes: int
    max_sequence_length: int | None = None
    license: str | None = None
    warnings: list[str] = []


class Layer(Answer):
    """What pruning did to one matrix. Errors are relative: ‖(W − W')X‖² / ‖WX‖²."""

    name: str
    sparsity: float
    error_start: float
    error_mask: float | None = None
    error: float
    swaps: int
    stops: dict[str, int] | None = None
    tokens: int | None = None
    seconds: float
