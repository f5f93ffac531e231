"""Active time of jobs over all attempts; constants of a run: its number of blocks, and the time outside its stages.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("run_speeds", sa.Column("blocks", sa.Integer, nullable=False, server_default="0"))
    op.add_column("run_speeds", sa.Column("start_seconds", sa.Double))
    op.add_column("jobs", sa.Column("active_seconds", sa.Double))
    op.add_column("jobs", sa.Column("attempt_started_at", sa.DateTime(timezone=True)))
