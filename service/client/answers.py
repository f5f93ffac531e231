"""What the service answers. Fields that a newer service adds are kept, so that nothing is lost on the way to `--json`."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.contract import TERMINAL_STATES, AttemptOutcome, Failure, JobState, Stage


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Progress(Answer):
    """How far the current stage is."""

    done: int
    total: int
    unit: str
    eta_seconds: float | None = None


class Eta(Answer):
    """When a job is expected to start and to end; None where nobody can tell."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    basis_jobs: int = 0


class Job(Answer):
    """One request to prune one model."""

    id: str
    state: JobState
    stage: Stage | None = None
    progress: Progress | None = None
    queue_position: int | None = None
    eta: Eta | None = None
    spec: dict[str, Any]
    labels: dict[str, str] = {}
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    metrics: dict[str, Any] | None = None
    error: Failure | None = None
    etag: str | None = Field(default=None, exclude=True)
    """The version, for `if_match`, where the job was read alone."""

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


class MatrixKind(Answer):
    """Matrices of a model that are alike and can be pruned."""

    name: str
    rows: int
    columns: int
    count: int


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
    matrices: list[MatrixKind] = []
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


class Queue(Answer):
    """Where a job would wait."""

    position: int
    """1: the next one to be claimed."""
    queued_jobs: int
    max_queued_jobs: int | None = None
    able_workers: int
    idle_workers: int


class Memory(Answer):
    """What a worker with a device of this class needs, predicted: at the peak, and at the least."""

    device: str
    host_bytes: int
    device_bytes: int | None = None
    least_host_bytes: int
    least_device_bytes: int | None = None
    phase: str
    """In which what is computed takes most."""
    terms: dict[str, int]
    """What that peak is made of."""


class Basis(Answer):
    """What an estimate is told from."""

    jobs: int
    same_recipe: bool | None = None
    devices: list[str] = []


class Estimate(Answer):
    """Seconds; None where nothing is known to tell them from."""

    run_seconds: float | None = None
    starts_in_seconds: float | None = None
    basis: Basis


class Plan(Answer):
    """What a job would be."""

    spec: dict[str, Any]
    model: ModelInfo | None = None
    """None where the model cannot be seen from the service, or not now."""
    artifact_bytes: int | None = None
    disk_bytes: int | None = None
    memory: list[Memory] = []
    estimate: Estimate | None = None
    """None of a service that does not estimate yet."""
    calibration_tokens: int
    queue: Queue
    warnings: list[str] = []
