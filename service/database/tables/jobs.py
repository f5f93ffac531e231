"""Jobs, tenants' queue bounds, and the figures of each pruned matrix."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, Computed, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from service.contract.devices import ANY_DEVICE
from service.contract.states import JobState
from service.database.engine import Base

_STATES = ", ".join(f"'{state}'" for state in JobState)
# spelt as PostgreSQL prints them, so that the comparison with the migrations' schema finds no difference
_SPARSITY = (
    "CASE WHEN jsonb_typeof(spec #> '{recipe,pattern,sparsity}'::text[]) = 'number'::text "
    "THEN (spec #>> '{recipe,pattern,sparsity}'::text[])::double precision "
    "WHEN jsonb_typeof(spec #> '{recipe,pattern,n}'::text[]) = 'number'::text "
    "AND jsonb_typeof(spec #> '{recipe,pattern,m}'::text[]) = 'number'::text "
    "THEN 1::double precision - (spec #>> '{recipe,pattern,n}'::text[])::double precision "
    "/ NULLIF((spec #>> '{recipe,pattern,m}'::text[])::double precision, 0::double precision) "
    "ELSE NULL::double precision END"
)
_DURATION = "COALESCE(active_seconds, (EXTRACT(epoch FROM (finished_at - started_at)))::double precision)"


def _number(path: str) -> str:
    """Return the SQL of a number in the metrics; null where workers of another version wrote none there."""
    is_number = f"jsonb_typeof(metrics #> '{path}'::text[]) = 'number'::text"
    return f"CASE WHEN {is_number} THEN (metrics #>> '{path}'::text[])::double precision ELSE NULL::double precision END"


_HAS_ARTIFACT = text("artifact_prefix IS NOT NULL AND artifact_removed_at IS NULL")


class Job(Base):
    """One request to prune one model. The row is the source of truth; broker messages are hints.

    A database trigger raises `version` and `updated_at` with every update and rejects forbidden state transitions.
    """

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    state: Mapped[str] = mapped_column(default=JobState.QUEUED)
    stage: Mapped[str | None]
    spec: Mapped[dict[str, Any]]
    name: Mapped[str | None]
    model: Mapped[str]
    labels: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(SmallInteger)
    device: Mapped[str] = mapped_column(default=ANY_DEVICE, server_default=ANY_DEVICE)
    """Device class of the workers that may claim it, or any."""
    retry_of: Mapped[UUID | None]
    """Job that this one retries; its finished blocks are reused."""
    sweep_id: Mapped[UUID | None]
    """Sweep of which this job is a point."""
    sweep_position: Mapped[int | None]
    """Number of the point, from 0; a retry has the same number."""
    sweep_values: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What the point sets in the sweep's template, by JSON pointer."""
    sweep_seq: Mapped[int | None]
    """Number of the sweep's event about the end of this job; null until it is written."""
    turn: Mapped[float | None]
    """Virtual start time of the last claim, which orders the tenants' turns (`service.jobs.attempts.turns`)."""
    least_cpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Smallest memory in which a worker without a GPU can run it; this and the next two are null where unknown."""
    least_host_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """The host's part of that on a worker with a GPU."""
    least_device_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """The GPU's part of that."""
    version: Mapped[int] = mapped_column(server_default=text("1"))

    fence: Mapped[int] = mapped_column(server_default=text("0"))
    """Fencing token, raised by every claim and by every revocation of a lease; never reused, even after a restore."""
    attempts_started: Mapped[int] = mapped_column(server_default=text("0"))
    attempts_counted: Mapped[int] = mapped_column(server_default=text("0"))
    """Attempts without those that a stopping worker released."""
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    """Sequence number of the job's last event."""

    progress: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any] | None]
    work: Mapped[dict[str, Any] | None]
    """Amount of work (`service.contract.work`), known once an attempt has loaded its inputs."""
    error: Mapped[dict[str, Any] | None]
    mlflow: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Outcome of the last attempt to log it to MLflow (`service.contract.mlflow.MlflowLog`)."""
    artifact_prefix: Mapped[str | None]
    """Store prefix of the manifest that readers trust; set by the attempt that succeeded."""
    artifact_bytes: Mapped[int | None] = mapped_column(BigInteger)

    sparsity: Mapped[float | None] = mapped_column(Computed(_SPARSITY, persisted=True))
    """Share of the weights that the pattern prunes. This and the next columns are computed by the database, for sorting."""
    perplexity: Mapped[float | None] = mapped_column(Computed(_number("{pruned,perplexity,0,perplexity}"), persisted=True))
    """Perplexity of the pruned model on the first data set."""
    agreement: Mapped[float | None] = mapped_column(Computed(_number("{agreement,0,top1_agreement}"), persisted=True))
    """Share of the tokens of the first data set at which dense and pruned model predict the same."""
    duration: Mapped[float | None] = mapped_column(Computed(_DURATION, persisted=True))
    """Time of all ended attempts; of a job from an earlier version from its start to its end."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Earliest time at which a queued job may be claimed."""
    sent_at: Mapped[datetime | None]
    """Time at which its message was last sent to the broker."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    active_seconds: Mapped[float | None]
    """Time of all ended attempts, without waits and pauses; null before the first has ended."""
    attempt_started_at: Mapped[datetime | None]
    """Start of the running attempt."""
    queue_deadline_at: Mapped[datetime | None]
    run_deadline_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    """Start of the pause; on resume the deadlines are extended by its length."""

    request_id: Mapped[str | None]
    """Request id of the request that created it."""
    traceparent: Mapped[str | None]
    """Span of that request."""

    artifact_removed_at: Mapped[datetime | None]
    """Time from which readers are refused; the files are removed by the next garbage collection."""
    blocks_removed_at: Mapped[datetime | None]
    """Time at which the finished blocks were removed, after the job had ended."""
    layers_removed_at: Mapped[datetime | None]
    """Time at which the figures of its matrices and blocks were removed, at the end of their retention."""
    deleted_at: Mapped[datetime | None]
    """Time of soft deletion; the row is deleted after all files of the job."""

    @hybrid_property
    def title(self) -> str:
        """Name, or the model's id if the job has none."""
        return self.name or self.model

    @title.inplace.expression
    @classmethod
    def _title(cls) -> ColumnElement[str]:
        return func.coalesce(cls.name, cls.model)

    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        Index("ix_jobs_tenant_newest", "tenant", text("created_at DESC"), text("id DESC")),
        Index("ix_jobs_tenant_state_newest", "tenant", "state", text("created_at DESC"), text("id DESC")),
        Index(
            "ix_jobs_queue",
            text("priority DESC"),
            "created_at",
            "id",
            "available_at",
            "device",
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_tenant_queue",
            "tenant",
            text("priority DESC"),
            "created_at",
            "id",
            "available_at",
            "device",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_jobs_tenant_started", "tenant", "started_at", postgresql_where=text("started_at IS NOT NULL")),
        Index("ix_jobs_tenant_turn", "tenant", "turn", postgresql_where=text("turn IS NOT NULL")),
        Index("ix_jobs_active_tenant", "tenant", "state", postgresql_where=text("finished_at IS NULL")),
        Index("ix_jobs_labels", "labels", postgresql_using="gin"),
        Index("ix_jobs_tenant_model_newest", "tenant", "model", text("created_at DESC"), text("id DESC")),
        Index("uq_jobs_retry_of", "retry_of", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_jobs_sweep", "sweep_id", "sweep_position", "created_at", postgresql_where=text("sweep_id IS NOT NULL")),
        Index("ix_jobs_blocks", "finished_at", postgresql_where=text("blocks_removed_at IS NULL")),
        Index("ix_jobs_artifacts", "tenant", "finished_at", postgresql_where=_HAS_ARTIFACT),
        Index("ix_jobs_ended", "tenant", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND deleted_at IS NULL")),
        Index(
            "ix_jobs_layers",
            "tenant",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL AND layers_removed_at IS NULL"),
        ),
        Index("ix_jobs_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )


class TenantQueue(Base):
    """Upper bound of a tenant's unfinished jobs; an insertion locks the row until it has committed the job."""

    __tablename__ = "tenant_queues"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    unfinished_at_most: Mapped[int] = mapped_column(server_default=text("0"))
    """Last count plus the jobs created since; jobs that ended since are still included."""
    counted_at: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    """Time of the last count; -infinity: never."""


class Layer(Base):
    """Figures of one pruned matrix, in model order. Errors are relative: ‖(W − W')X‖² / ‖WX‖²."""

    __tablename__ = "layers"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    block: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[int]
    sparsity: Mapped[float]
    error_start: Mapped[float]
    error_mask: Mapped[float | None]
    error: Mapped[float]
    swaps: Mapped[int]
    stops: Mapped[dict[str, Any] | None]
    tokens: Mapped[int | None]
    seconds: Mapped[float]

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs, inputs."""
        return self.rows, self.columns
