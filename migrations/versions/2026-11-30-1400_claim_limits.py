"""Limits of the claim: running jobs, share and priority of a tenant, memory that a job needs, and the tags of the turns.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Apply the migration. Claims of the version before are served by the indexes that are there."""
    op.add_column("tenant_quotas", sa.Column("max_running_jobs", sa.Integer))
    op.add_column("tenant_quotas", sa.Column("share", sa.Integer))
    op.add_column("tenant_quotas", sa.Column("max_priority", sa.Integer))
    op.add_column("jobs", sa.Column("turn", sa.Double))
    op.add_column("jobs", sa.Column("least_cpu_bytes", sa.BigInteger))
    op.add_column("jobs", sa.Column("least_host_bytes", sa.BigInteger))
    op.add_column("jobs", sa.Column("least_device_bytes", sa.BigInteger))
    op.create_index("ix_jobs_tenant_turn", "jobs", ["tenant", "turn"], postgresql_where=sa.text("turn IS NOT NULL"))
