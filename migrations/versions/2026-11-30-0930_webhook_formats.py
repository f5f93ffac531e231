"""Format of a webhook's messages.

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("webhooks", sa.Column("format", sa.String(), server_default="dsnot", nullable=False))
