"""Jobs as the API shows them."""

from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.contract import AttemptOutcome, Failure, JobSpec, JobState, Stage
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job, Layer

SPEC_EXAMPLES: Final[dict[str, Any]] = {
    "smallest": {
        "summary": "A hub model, half of its weights, all defaults",
        "value": {"model": {"id": "meta-llama/Llama-3.1-8B"}},
    },
    "offline": {
        "summary": "A local model and the data sets that need no hub",
        "value": {
            "model": {"source": "local", "id": "SmolLM2-135M-Instruct"},
            "calibration": {"dataset": "c4-sample", "num_samples": 16, "sequence_length": 512},
            "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 512},
            "labels": {"team": "search"},
        },
    },
    "2:4, as in the paper": {
        "summary": "A preset, and a pattern beside it",
        "value": {
            "model": {"id": "meta-llama/Llama-3.1-8B"},
            "recipe": {"preset": "dsnot-paper", "pattern": {"type": "n:m", "n": 2, "m": 4}},
        },
    },
}


class ProgressView(BaseModel):
    """How far the current stage is."""

    done: int
    total: int
    unit: str = Field(examples=["blocks"])
    eta_seconds: float | None = Field(None, description="of the stage, not of the job")


class Links(BaseModel):
    """Where the rest is."""

    self: str
    cancel: str
    pause: str
    resume: str
    retry: str
    attempts: str
    events: str
    layers: str
    metrics: str
    artifacts: str

    @classmethod
    def of(cls, job_id: UUID) -> "Links":
        path = f"/v1/jobs/{job_id}"
        parts = ("cancel", "pause", "resume", "retry", "attempts", "events", "layers", "metrics", "artifacts")
        return cls.model_validate({"self": path, **{part: f"{path}/{part}" for part in parts}})


_EXAMPLE_ID: Final = UUID("0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11")
_EXAMPLE: Final[dict[str, Any]] = {
    "id": str(_EXAMPLE_ID),
    "state": "running",
    "stage": "pruning",
    "progress": {"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 54.2},
    "attempt": 1,
    "spec": JobSpec.model_validate(SPEC_EXAMPLES["offline"]["value"]).model_dump(mode="json"),
    "labels": {"team": "search"},
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:02Z",
    "finished_at": None,
    "updated_at": "2026-01-31T12:00:40Z",
    "timings": {},
    "metrics": None,
    "error": None,
    "eta": {"starts_at": "2026-01-31T12:00:02Z", "ends_at": "2026-01-31T12:03:00Z", "basis_jobs": 4},
    "links": Links.of(_EXAMPLE_ID).model_dump(),
}


class EtaView(BaseModel):
    """When a job is expected to start and to end, told from what jobs took on the same devices."""

    model_config = ConfigDict(from_attributes=True)

    starts_at: datetime | None = Field(description="of one that runs: when it did; null where nobody can tell")
    ends_at: datetime | None = Field(description="with evaluation and publishing; null where nobody can tell")
    basis_jobs: int = Field(description="how many jobs tell the speed; 0: none, and then not much can be told")


class JobView(BaseModel):
    """A job."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    state: JobState
    stage: Stage | None = Field(description="of the current attempt")
    progress: ProgressView | None
    retry_of: UUID | None = Field(None, description="the job that this one tries again")
    attempt: int = Field(description="how many attempts have begun")
    spec: dict[str, Any] = Field(description="the body with every default filled in; sent again, it repeats the job")
    labels: dict[str, str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    timings: dict[str, float] = Field(description="seconds of each stage, once the job has succeeded")
    metrics: dict[str, Any] | None = Field(description="what is measured so far")
    error: Failure | None = Field(description="why it failed")
    queue_position: int | None = Field(
        None, description="while it is queued, of a job that is read alone: 1 is claimed next. The `ETag` does not tell of it"
    )
    eta: EtaView | None = Field(
        None, description="while it is queued or running, of a job that is read alone. The `ETag` does not tell of it"
    )
    artifact_removed_at: datetime | None = Field(None, description="when the artifact had been kept for as long as was set")
    links: Links

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            state=JobState(job.state),
            stage=Stage(job.stage) if job.stage else None,
            progress=ProgressView.model_validate(job.progress) if job.progress else None,
            retry_of=job.retry_of,
            attempt=job.attempts_started,
            spec=job.spec,
            labels=job.labels,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            updated_at=job.updated_at,
            timings=(job.metrics or {}).get("seconds", {}),
            metrics=job.metrics,
            error=Failure.model_validate(job.error) if job.error else None,
            artifact_removed_at=job.artifact_removed_at,
            links=Links.of(job.id),
        )


class JobPage(BaseModel):
    """Jobs, newest first."""

    items: list[JobView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class AttemptView(BaseModel):
    """One try at the job."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    detail: str | None


class AttemptPage(BaseModel):
    """All attempts, oldest first."""

    items: list[AttemptView]
    next_cursor: None = None

    @classmethod
    def of(cls, attempts: list[Attempt]) -> Self:
        return cls(items=[AttemptView.model_validate(attempt) for attempt in attempts])


class LayerView(BaseModel):
    """What pruning did to one matrix."""

    position: int
    name: str = Field(examples=["model.layers.0.self_attn.q_proj"])
    block: int
    shape: tuple[int, int] = Field(description="outputs, inputs")
    sparsity: float
    error_start: float = Field(description="of the warm start: ‖(W − W')X‖² / ‖WX‖²")
    error_mask: float | None = Field(None, description="of the final mask, before kept weights are updated")
    error: float = Field(description="of the result")
    swaps: int
    stops: dict[str, int] | None = Field(
        None,
        description="how many rows the refinement left for which reason",
        examples=[{"threshold": 3, "no_pair": 0, "sign_change": 61}],
    )
    tokens: int | None = Field(None, description="that the inputs were measured on")
    seconds: float

    @classmethod
    def of(cls, layer: Layer) -> Self:
        return cls(
            position=layer.position,
            name=layer.name,
            block=layer.block,
            shape=(layer.rows, layer.columns),
            sparsity=layer.sparsity,
            error_start=layer.error_start,
            error_mask=layer.error_mask,
            error=layer.error,
            swaps=layer.swaps,
            stops=layer.stops,
            tokens=layer.tokens,
            seconds=layer.seconds,
        )


class LayerPage(BaseModel):
    """Matrices in the order of the model."""

    items: list[LayerView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")
