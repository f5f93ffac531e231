"""Jobs, and what was measured of each matrix."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.contract import ANY_DEVICE, JobState
from service.database.engine import Base

_STATES = ", ".join(f"'{state}'" for state in JobState)
_HAS_ARTIFACT = text("artifact_prefix IS NOT NULL AND artifact_removed_at IS NULL")


class Job(Base):
    """One request to prune one model. The row is the truth; messages are hints.

    A trigger raises `version` and `updated_at` with every update and refuses to change the state of a finished job.
    """

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    state: Mapped[str] = mapped_column(default=JobState.QUEUED)
    stage: Mapped[str | None]
    spec: Mapped[dict[str, Any]]
    model: Mapped[str]
    labels: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(SmallInteger)
    device: Mapped[str] = mapped_column(default=ANY_DEVICE, server_default=ANY_DEVICE)
    """Which workers may take it: a device class, or any."""
    retry_of: Mapped[UUID | None]
    """The job that this one tries again; its finished blocks can be used."""
    version: Mapped[int] = mapped_column(server_default=text("1"))

    fence: Mapped[int] = mapped_column(server_default=text("0"))
    """Raised by every claim and by everything that takes the job away from its worker."""
    attempts_started: Mapped[int] = mapped_column(server_default=text("0"))
    attempts_counted: Mapped[int] = mapped_column(server_default=text("0"))
    """Without those that a stopping worker gave back."""
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    """The sequence number of the job's last event."""

    progress: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any] | None]
    work: Mapped[dict[str, Any] | None]
    """How much there is to do, `service.contract.work`, once an attempt has loaded what it needs."""
    error: Mapped[dict[str, Any] | None]
    artifact_prefix: Mapped[str | None]
    """Where the manifest that readers trust lies; set by the attempt that succeeded."""
    artifact_bytes: Mapped[int | None] = mapped_column(BigInteger)

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """A queued job may be claimed from then on."""
    sent_at: Mapped[datetime | None]
    """When its message was last given to the broker."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queue_deadline_at: Mapped[datetime | None]
    run_deadline_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    """The deadlines move on by the time spent paused."""

    request_id: Mapped[str | None]
    """Of the request that created it."""
    traceparent: Mapped[str | None]
    """The span of that request."""

    artifact_removed_at: Mapped[datetime | None]
    """Readers are told that it is gone; the files go with the next sweep."""
    blocks_removed_at: Mapped[datetime | None]
    """When the finished blocks were swept, after the job had ended."""
    deleted_at: Mapped[datetime | None]
    """Nobody sees the job any more; the row goes once all its files are gone."""

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
        Index("ix_jobs_active_tenant", "tenant", "state", postgresql_where=text("finished_at IS NULL")),
        Index("ix_jobs_labels", "labels", postgresql_using="gin"),
        Index("ix_jobs_tenant_model_newest", "tenant", "model", text("created_at DESC"), text("id DESC")),
        Index("uq_jobs_retry_of", "retry_of", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_jobs_blocks", "finished_at", postgresql_where=text("blocks_removed_at IS NULL")),
        Index("ix_jobs_artifacts", "tenant", "finished_at", postgresql_where=_HAS_ARTIFACT),
        Index("ix_jobs_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )


class TenantQueue(Base):
    """How many unfinished jobs a tenant has at most. Whoever makes one holds the row until the job is there."""

    __tablename__ = "tenant_queues"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    unfinished_at_most: Mapped[int] = mapped_column(server_default=text("0"))
    """As counted, and one more for each job made since; jobs that ended since are still in it."""
    counted_at: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    """Once, long ago: never."""


class Layer(Base):
    """What pruning did to one matrix, in the order of the model. Errors are relative: ‖(W − W')X‖² / ‖WX‖²."""

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
