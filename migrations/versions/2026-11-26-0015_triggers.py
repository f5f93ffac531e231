"""Triggers, which are job templates started by events, and their log of firings.

A partial unique index on the log ensures that an event starts at most one job.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply the migration."""
    time = sa.DateTime(timezone=True)
    now = sa.func.now()
    new_id = sa.func.gen_random_uuid()
    newest = sa.text("created_at DESC"), sa.text("id DESC")
    op.create_table(
        "triggers",
        sa.Column("id", sa.Uuid(), server_default=new_id, primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("template", JSONB(), nullable=False),
        sa.Column("filter", sa.String()),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("secret_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("old_secret_until", time),
        sa.Column("created_at", time, server_default=now, nullable=False),
    )
    op.create_index("ix_triggers_tenant_newest", "triggers", ["tenant", *newest])
    op.create_table(
        "trigger_firings",
        sa.Column("id", sa.Uuid(), server_default=new_id, primary_key=True),
        sa.Column("trigger_id", sa.Uuid(), sa.ForeignKey("triggers.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("holds_event", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("refers_to", sa.Uuid()),
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("problem", JSONB()),
        sa.Column("event", JSONB()),
        sa.Column("created_at", time, server_default=now, nullable=False),
    )
    op.create_index(
        "uq_trigger_firings_event",
        "trigger_firings",
        ["trigger_id", "kind", "event_id"],
        unique=True,
        postgresql_where=sa.text("holds_event"),
    )
    op.create_index("ix_trigger_firings_newest", "trigger_firings", ["trigger_id", *newest])
    op.create_index("ix_trigger_firings_created_at", "trigger_firings", ["created_at"])
    op.create_index("ix_trigger_firings_job", "trigger_firings", ["job_id"])
