"""Logging of jobs to MLflow: its outbox, and the outcome in the job's row.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Apply the migration."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "mlflow_exports",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("next_attempt_at", time, server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_mlflow_exports_due", "mlflow_exports", ["next_attempt_at"])
    op.add_column("jobs", sa.Column("mlflow", JSONB(), nullable=True))
