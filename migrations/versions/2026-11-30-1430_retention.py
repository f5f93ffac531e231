"""Retention of jobs, sweeps and figures of matrices by age, and a tenant's own.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Apply the migration."""
    for name in ("keep_jobs_seconds", "keep_artifacts_seconds", "keep_layers_seconds", "keep_audit_seconds"):
        op.add_column("tenant_quotas", sa.Column(name, sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("layers_removed_at", sa.DateTime(timezone=True), nullable=True))
    ended = sa.text("finished_at IS NOT NULL AND deleted_at IS NULL")
    op.create_index("ix_jobs_ended", "jobs", ["tenant", "finished_at"], postgresql_where=ended)
    has_layers = sa.text("finished_at IS NOT NULL AND layers_removed_at IS NULL")
    op.create_index("ix_jobs_layers", "jobs", ["tenant", "finished_at"], postgresql_where=has_layers)
    op.create_index("ix_sweeps_ended", "sweeps", ["tenant", "finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL"))
