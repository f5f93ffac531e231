"""Indexes of retention: ended deliveries, firings that started no job, open checks of models.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "ix_webhook_deliveries_finished",
        "webhook_deliveries",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_trigger_firings_unfired",
        "trigger_firings",
        ["trigger_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("outcome <> 'fired'"),
    )
    op.create_index(
        "ix_model_checks_open", "model_checks", ["asked_at"], unique=False, postgresql_where=sa.text("answer IS NULL")
    )
