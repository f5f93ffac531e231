"""Durations of finished runs, and the amount of work of a job.

The new column is nullable, because workers of the previous version do not write it.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("jobs", sa.Column("work", JSONB()))
    sizes = ("parameters", "block_parameters", "calibration_tokens", "evaluated_tokens", "bytes")
    seconds = ("token_seconds", "weight_seconds", "evaluating_seconds", "other_seconds")
    op.create_table(
        "run_speeds",
        sa.Column("job_id", sa.Uuid(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("device", "device_name", "recipe")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sizes),
        *(sa.Column(name, sa.Float(), nullable=False) for name in seconds),
        sa.Column("finished_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_run_speeds_kind", "run_speeds", ["device_name", "recipe", "finished_at"])
