"""Layers: the error of the final mask, why rows stopped, and on how many tokens the inputs were measured.

The columns may be empty: workers of the version before write none of them.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("layers", sa.Column("error_mask", sa.Double(), nullable=True))
    op.add_column("layers", sa.Column("stops", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("layers", sa.Column("tokens", sa.Integer(), nullable=True))
