"""What says which code may run on this schema: the oldest revision whose code it still serves.

Every migration that only adds leaves it alone, so that old processes keep running, and may start again, during a deployment. One
that takes something away raises it to the first revision whose code does without.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table("schema_serves", sa.Column("oldest", sa.String(), nullable=False))
    op.execute("INSERT INTO schema_serves (oldest) VALUES ('0001')")
