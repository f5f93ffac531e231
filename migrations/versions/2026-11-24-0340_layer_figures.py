"""Layers: error of the final mask, reasons why rows stopped, and number of calibration tokens.

The columns are nullable, because workers of the previous version do not write them.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("layers", sa.Column("error_mask", sa.Double(), nullable=True))
    op.add_column("layers", sa.Column("stops", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("layers", sa.Column("tokens", sa.Integer(), nullable=True))
