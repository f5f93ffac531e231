"""API schemas of jobs."""

from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.contract.failures import Failure
from service.contract.matrices import LayerView
from service.contract.mlflow import MlflowLog, MlflowState
from service.contract.spec import JobSpec
from service.contract.states import HELD_STATES, TERMINAL_STATES, AttemptOutcome, JobState, Stage
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job

SPEC_EXAMPLES: Final[dict[str, Any]] = {
    "smallest": {
        "summary": "A hub model at 50 % sparsity, all defaults",
        "value": {"model": {"id": "meta-llama/Llama-3.1-8B"}},
    },
    "offline": {
        "summary": "A local model and data sets that need no hub access",
        "value": {
            "model": {"source": "local", "id": "SmolLM2-135M-Instruct"},
            "calibration": {"dataset": "c4-sample", "num_samples": 16, "sequence_length": 512},
            "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 512},
            "labels": {"team": "search"},
        },
    },
    "2:4, as in the paper": {
        "summary": "A preset with another pattern",
        "value": {
            "model": {"id": "meta-llama/Llama-3.1-8B"},
            "recipe": {"preset": "dsnot-paper", "pattern": {"type": "n:m", "n": 2, "m": 4}},
        },
    },
}


class ProgressView(BaseModel):
    """Progress of the current stage."""

    done: int
    total: int
    unit: str = Field(examples=["blocks"])
    eta_seconds: float | None = Field(None, description="estimated seconds until the stage ends, not the job")
    matrices_done: int | None = Field(None, description="pruned matrices of the running block")
    matrices_total: int | None = Field(None, description="matrices of that block")
    block_elapsed: float | None = Field(None, description="seconds that the running block had taken at the last report")
    own_blocks: int | None = Field(None, description="blocks that the current attempt has pruned")
    block_seconds: float | None = Field(None, description="mean seconds of one of them")


class StageProgress(ProgressView):
    """Progress with the name of its stage."""

    stage: Stage


class Links(BaseModel):
    """Paths of related resources."""

    self: str
    cancel: str
    pause: str
    resume: str
    retry: str
    attempts: str
    events: str
    logs: str
    layers: str
    metrics: str
    artifacts: str

    @classmethod
    def of(cls, job_id: UUID) -> "Links":
        """Return the paths of a job."""
        path = f"/v1/jobs/{job_id}"
        parts = ("cancel", "pause", "resume", "retry", "attempts", "events", "logs", "layers", "metrics", "artifacts")
        return cls.model_validate({"self": path, **{part: f"{path}/{part}" for part in parts}})


_EXAMPLE_ID: Final = UUID("0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11")
_EXAMPLE: Final[dict[str, Any]] = {
    "id": str(_EXAMPLE_ID),
    "name": "first try",
    "state": "running",
    "stage": "pruning",
    "progress": {"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 54.2},
    "attempt": 1,
    "spec": JobSpec.model_validate(SPEC_EXAMPLES["offline"]["value"]).model_dump(mode="json"),
    "labels": {"team": "search"},
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:02Z",
    "finished_at": None,
    "active_seconds": None,
    "attempt_started_at": "2026-01-31T12:00:02Z",
    "updated_at": "2026-01-31T12:00:40Z",
    "timings": {},
    "metrics": None,
    "warnings": [],
    "error": None,
    "eta": {"starts_at": "2026-01-31T12:00:02Z", "ends_at": "2026-01-31T12:03:00Z", "basis_jobs": 4}
    | {
        "ends_earliest_at": "2026-01-31T12:02:39Z",
        "ends_latest_at": "2026-01-31T12:03:24Z",
        "from_own_blocks": True,
        "note": None,
    },
    "links": Links.of(_EXAMPLE_ID).model_dump(),
}


class EtaView(BaseModel):
    """Expected start and end of a job, estimated from past jobs on the same devices."""

    model_config = ConfigDict(from_attributes=True)

    starts_at: datetime | None = Field(description="for a running job its actual start; null if unknown")
    ends_at: datetime | None = Field(description="expected end, including evaluation and publishing; null if unknown")
    ends_earliest_at: datetime | None = Field(None, description="start of the range of the expected end")
    ends_latest_at: datetime | None = Field(None, description="end of that range")
    from_own_blocks: bool = Field(False, description="whether `ends_at` comes from the job's own finished blocks")
    note: str | None = Field(None, description="why `ends_at` is null", examples=["estimate after 2 blocks"])
    basis_jobs: int = Field(description="number of past jobs behind the estimate")


class JobView(BaseModel):
    """A pruning job."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str | None = Field(None, description="its name in lists")
    state: JobState
    stage: Stage | None = Field(description="stage of the current attempt")
    progress: ProgressView | None
    retry_of: UUID | None = Field(None, description="the job that this one retries")
    sweep_id: UUID | None = Field(None, description="the sweep of which this job is a point")
    sweep_position: int | None = Field(None, description="number of that point, from 0")
    attempt: int = Field(description="number of attempts started")
    spec: dict[str, Any] = Field(description="the body with all defaults filled in; sent again, it repeats the job")
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    active_seconds: float | None = Field(description="seconds of the ended attempts, without waits and pauses")
    attempt_started_at: datetime | None = Field(description="start of the running attempt")
    updated_at: datetime
    timings: dict[str, float] = Field(description="seconds per stage over all attempts, once the job has succeeded")
    metrics: dict[str, Any] | None = Field(description="metrics measured so far")
    gates_passed: bool | None = Field(
        None, description="whether the pruned model meets all of `evaluation.require`; `metrics.gates` has each. null: not judged"
    )
    warnings: list[str] = Field(
        examples=[[]],
        description="of the answer that creates the job: the plan's warnings that need no worker; afterwards: "
        "what could not be checked when the job was created",
    )
    error: Failure | None = Field(description="why it failed")
    queue_position: int | None = Field(
        None, description="position while queued, 1 is claimed next; null in lists. Not covered by the `ETag`"
    )
    eta: EtaView | None = Field(None, description="estimate while queued or running; null in lists. Not covered by the `ETag`")
    artifact_removed_at: datetime | None = Field(None, description="when the artifact was removed at the end of its retention")
    mlflow: MlflowLog | None = Field(None, description="run on the MLflow server; null without `output.mlflow`")
    layers_removed_at: datetime | None = Field(
        None,
        description="when the figures of its matrices and blocks, with the events `block_pruned`, ended their retention",
    )
    links: Links

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the view of a job."""
        return cls(
            id=job.id,
            name=job.name,
            state=JobState(job.state),
            stage=Stage(job.stage) if job.stage else None,
            progress=ProgressView.model_validate(job.progress) if job.progress else None,
            retry_of=job.retry_of,
            sweep_id=job.sweep_id,
            sweep_position=job.sweep_position,
            attempt=job.attempts_started,
            spec=job.spec,
            labels=job.labels,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            active_seconds=active_seconds(job),
            attempt_started_at=job.attempt_started_at if job.state in HELD_STATES else None,
            updated_at=job.updated_at,
            timings=(job.metrics or {}).get("seconds", {}),
            metrics=job.metrics,
            gates_passed=_gates_passed(job),
            warnings=_warnings(job),
            error=Failure.model_validate(job.error) if job.error else None,
            artifact_removed_at=job.artifact_removed_at,
            mlflow=mlflow_log(job),
            layers_removed_at=job.layers_removed_at,
            links=Links.of(job.id),
        )


def active_seconds(job: Job) -> float | None:
    """Return the time of the ended attempts; of a job from an earlier version the time from start to end."""
    if job.active_seconds is None and job.started_at and job.finished_at:
        return (job.finished_at - job.started_at).total_seconds()
    return job.active_seconds


def mlflow_log(job: Job) -> MlflowLog | None:
    """Return the state of logging the job to MLflow; None if that was not requested."""
    if job.mlflow is not None:
        return MlflowLog.model_validate(job.mlflow)
    if not job.spec.get("output", {}).get("mlflow"):
        return None
    if job.state not in TERMINAL_STATES:
        return MlflowLog(state=MlflowState.WAITING)
    return MlflowLog(state=MlflowState.PENDING if job.state == JobState.SUCCEEDED else MlflowState.SKIPPED)


def _gates_passed(job: Job) -> bool | None:
    gates = (job.metrics or {}).get("gates")
    return all(gate["passed"] for gate in gates) if gates else None


def _warnings(job: Job) -> list[str]:
    model = job.spec["model"]
    if model.get("source") != "hub" or model.get("revision") is not None or job.state in TERMINAL_STATES:
        return []
    return ["The hub gave no answer when the job was created: a worker will check the model and pin its revision."]


class JobPage(BaseModel):
    """One page of jobs."""

    items: list[JobView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class AttemptView(BaseModel):
    """One attempt to run a job."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    detail: str | None


class AttemptPage(BaseModel):
    """All attempts of a job, oldest first."""

    items: list[AttemptView]
    next_cursor: None = None

    @classmethod
    def of(cls, attempts: list[Attempt]) -> Self:
        """Return the page of these attempts."""
        return cls(items=[AttemptView.model_validate(attempt) for attempt in attempts])


class LayerPage(BaseModel):
    """One page of matrices, in model order."""

    items: list[LayerView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")
