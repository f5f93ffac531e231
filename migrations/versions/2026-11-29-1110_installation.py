"""Installation id, and files of the artifact store that no row names, with the time they were first seen.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "installation",
        sa.Column("id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), primary_key=True),
    )
    op.execute("INSERT INTO installation DEFAULT VALUES")
    op.create_table(
        "orphaned_files",
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
