"""Response models of jobs, models, workers and plans."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from service.client.answer import Answer
from service.client.measured import Metrics
from service.contract.devices import DeviceInfo
from service.contract.failures import Failure
from service.contract.figures import figures
from service.contract.matrices import LayerView
from service.contract.mlflow import MlflowLog
from service.contract.recipe.names import pattern_name
from service.contract.states import TERMINAL_STATES, AttemptOutcome, JobState, Stage


class Progress(Answer):
    """Progress of the current stage."""

    done: int
    total: int
    unit: str
    eta_seconds: float | None = None
    matrices_done: int | None = None
    """Pruned matrices of the running block."""
    matrices_total: int | None = None
    block_elapsed: float | None = None
    """Seconds that the running block had taken at the last report."""
    own_blocks: int | None = None
    """Blocks that the current attempt has pruned."""
    block_seconds: float | None = None
    """Mean time of one of them."""


class StageProgress(Progress):
    """Progress with its stage, as it is reported live."""

    stage: Stage


class Eta(Answer):
    """Expected start and end of a job; None if unknown."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    ends_earliest_at: datetime | None = None
    ends_latest_at: datetime | None = None
    from_own_blocks: bool = False
    """Whether the end is estimated from the job's own finished blocks."""
    note: str | None = None
    """Why `ends_at` is None."""
    basis_jobs: int = 0


class Job(Answer):
    """One request to prune one model."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    name: str | None = None
    state: JobState
    stage: Stage | None = None
    progress: Progress | None = None
    queue_position: int | None = None
    eta: Eta | None = None
    spec: dict[str, Any]
    labels: dict[str, str] = Field(default={})
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    active_seconds: float | None = None
    """Time of the ended attempts, without waits and pauses."""
    attempt_started_at: datetime | None = None
    """Start of the running attempt."""
    metric_values: dict[str, Any] | None = Field(default=None, alias="metrics")
    """Measurements so far, as JSON; `metrics` has them typed."""
    gates_passed: bool | None = None
    """Whether the pruned model meets all of `evaluation.require`; None: not judged, or there are none."""
    warnings: list[str] = Field(default=[])
    error: Failure | None = None
    artifact_removed_at: datetime | None = None
    """End of the artifact's retention, if it has been removed."""
    mlflow: MlflowLog | None = None
    """Run on the MLflow server; None without `output.mlflow`."""
    layers_removed_at: datetime | None = None
    """End of the retention of the figures of its matrices and blocks, if they have been removed."""
    etag: str | None = Field(default=None, exclude=True)
    """Version for `if_match`; set only if the job was read alone."""

    @property
    def has_ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in TERMINAL_STATES

    @property
    def model(self) -> str:
        """Id of the model."""
        return str(self.spec["model"]["id"])

    @property
    def metrics(self) -> Metrics | None:
        """Measurements so far, as the job was read; None before the first one."""
        return None if self.metric_values is None else Metrics.model_validate(self.metric_values)

    def row(self) -> dict[str, Any]:
        """Return a flat row: settings, times, labels as `label.NAME`, measurements by name with `:low` and `:high`."""
        recipe = self.spec.get("recipe") or {}
        row: dict[str, Any] = {"id": self.id, "name": self.name, "state": str(self.state), "model": self.model}
        row |= {"preset": recipe.get("preset"), "pattern": pattern_name(recipe) if recipe.get("pattern") else None}
        row |= {"created_at": self.created_at, "started_at": self.started_at, "finished_at": self.finished_at}
        row |= {f"label.{name}": value for name, value in self.labels.items()} | {"gates_passed": self.gates_passed}
        for name, figure in figures(self.metric_values).items():
            row[name] = figure.value
            row |= {} if figure.low is None else {f"{name}:low": figure.low, f"{name}:high": figure.high}
        return row


class Attempt(Answer):
    """One attempt at running a job."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome | None = None
    detail: str | None = None


class LocalModel(Answer):
    """A local model, as a job's `model` names it."""

    source: str
    id: str


class Worker(Answer):
    """A worker process that runs jobs."""

    id: str
    state: str
    device: str
    device_name: str
    device_memory_bytes: int | None = None
    compute_capability: str | None = None
    device_problem: str | None = None
    """Reason why a worker on a host with GPUs uses its CPU."""
    versions: dict[str, Any] = Field(default={})
    host_memory_bytes: int
    used_memory_bytes: int
    free_disk_bytes: int
    job_id: str | None = None
    attempt: int | None = None
    started_at: datetime
    seen_at: datetime


class MatrixKind(Answer):
    """Prunable matrices of a model with the same name and shape."""

    name: str
    rows: int
    columns: int
    count: int


class ModelInfo(Answer):
    """Facts about a model, read without its weights."""

    model: dict[str, Any]
    can_be_pruned: bool
    is_checked: bool = False
    why_not: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    dtype: str
    parameters: int
    prunable_share: float
    coverage: float
    blocks: int
    matrices: list[MatrixKind] = Field(default=[])
    weight_bytes: int
    max_sequence_length: int | None = None
    license: str | None = None
    warnings: list[str] = Field(default=[])


class Layer(LayerView):
    """Pruning result of one matrix."""

    model_config = ConfigDict(extra="allow")


class Queue(Answer):
    """Position of a planned job in the queue."""

    position: int
    """1: the next one to be claimed."""
    queued_jobs: int
    max_queued_jobs: int | None = None
    able_workers: int
    idle_workers: int


class Memory(Answer):
    """Predicted memory of a worker with a device of this class: peak, and minimum."""

    device: str
    host_bytes: int
    device_bytes: int | None = None
    least_host_bytes: int
    least_device_bytes: int | None = None
    phase: str
    """Phase of the peak."""
    terms: dict[str, int]
    """Terms of the peak, in bytes."""


class Basis(Answer):
    """Earlier runs that an estimate is based on."""

    jobs: int
    same_recipe: bool | None = None
    devices: list[str] = Field(default=[])


class Estimate(Answer):
    """Estimated seconds; None without earlier runs of about this size."""

    run_seconds: float | None = None
    run_seconds_low: float | None = None
    run_seconds_high: float | None = None
    note: str | None = None
    """Why `run_seconds` is None."""
    starts_in_seconds: float | None = None
    basis: Basis


class Device(DeviceInfo):
    """Device of a worker."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Plan(Answer):
    """Dry run of a job."""

    spec: dict[str, Any]
    model: ModelInfo | None = None
    """None if the service cannot read the model, or not now."""
    artifact_bytes: int | None = None
    disk_bytes: int | None = None
    serving: dict[str, int] | None = None
    """Bytes of the pruned weights in memory: `dense`, `packed` and `packed_int8` (dsnot_runtime on CPUs)."""
    memory: list[Memory] = Field(default=[])
    estimate: Estimate | None = None
    """None from an older service without estimates."""
    calibration_tokens: int
    queue: Queue
    devices: list[Device] = Field(default=[])
    """Devices of the workers online that may run the job."""
    warnings: list[str] = Field(default=[])
