"""Table `schema_serves`: the oldest revision whose code may still run on this schema.

A migration that only adds does not change it, so that old processes keep running, and may restart, during a deployment. One that
removes something raises it to the first revision whose code does not use it.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply the migration."""
    op.create_table("schema_serves", sa.Column("oldest", sa.String(), nullable=False))
    op.execute("INSERT INTO schema_serves (oldest) VALUES ('0001')")
