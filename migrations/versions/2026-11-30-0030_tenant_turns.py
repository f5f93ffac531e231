"""Indexes of the claim, in which tenants take turns.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "ix_jobs_tenant_queue",
        "jobs",
        ["tenant", sa.text("priority DESC"), "created_at", "id", "available_at", "device"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_tenant_started", "jobs", ["tenant", "started_at"], postgresql_where=sa.text("started_at IS NOT NULL")
    )
