"""Upper bound of each tenant's unfinished jobs, so that accepting a job need not count them.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "tenant_queues",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("unfinished_at_most", sa.Integer(), server_default="0", nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False),
    )
