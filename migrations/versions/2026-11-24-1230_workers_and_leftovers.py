"""Workers, device classes, pausing, retries, and garbage collection.

Revision ID: 0004
Revises: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the migration."""
    _add_workers()
    _add_columns()
    _add_indexes()


def _add_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("device_name", sa.String(), nullable=False),
        sa.Column("device_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("host_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("free_disk_bytes", sa.BigInteger(), nullable=False),
        sa.Column("versions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("started_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("stopped_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )


def _add_columns() -> None:
    op.add_column("jobs", sa.Column("device", sa.String(), server_default="any", nullable=False))
    op.add_column("jobs", sa.Column("retry_of", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("artifact_bytes", sa.BigInteger(), nullable=True))
    for name in ("paused_at", "artifact_removed_at", "blocks_removed_at", "deleted_at"):
        op.add_column("jobs", sa.Column(name, _TIME, nullable=True))
    op.add_column("outbox", sa.Column("queue", sa.String(), server_default="dsnot", nullable=False))
    op.add_column("attempts", sa.Column("swept_at", _TIME, nullable=True))
    op.execute("UPDATE attempts SET swept_at = ended_at WHERE outcome = 'succeeded'")
    op.execute("UPDATE jobs SET artifact_bytes = (metrics->>'bytes')::bigint WHERE state = 'succeeded'")


def _add_indexes() -> None:
    newest: list[Any] = [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")]
    best: list[Any] = [sa.literal_column("priority DESC"), "created_at", "id", "available_at", "device"]
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.create_index("ix_jobs_queue", "jobs", best, postgresql_where=sa.text("state = 'queued'"))
    op.create_index("ix_jobs_tenant_model_newest", "jobs", ["tenant", "model", *newest])
    op.create_index("uq_jobs_retry_of", "jobs", ["retry_of"], unique=True, postgresql_where=sa.text("deleted_at IS NULL"))
    op.create_index("ix_jobs_blocks", "jobs", ["finished_at"], postgresql_where=sa.text("blocks_removed_at IS NULL"))
    op.create_index(
        "ix_jobs_artifacts",
        "jobs",
        ["tenant", "finished_at"],
        postgresql_where=sa.text("artifact_prefix IS NOT NULL AND artifact_removed_at IS NULL"),
    )
    op.create_index("ix_jobs_deleted", "jobs", ["deleted_at"], postgresql_where=sa.text("deleted_at IS NOT NULL"))
    op.create_index(
        "ix_attempts_unswept", "attempts", ["ended_at"], postgresql_where=sa.text("swept_at IS NULL AND ended_at IS NOT NULL")
    )
