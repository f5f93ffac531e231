"""Sweeps: their events, the jobs that are their points, webhook messages about them, and triggers that start them.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"

_WRITTEN = """
CREATE FUNCTION sweep_event_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('dsnot_job_events', NEW.sweep_id::text);
    INSERT INTO webhook_deliveries (webhook_id, type, sweep_id, seq)
    SELECT webhooks.id, 'sweep.' || NEW.type, NEW.sweep_id, NEW.seq
    FROM webhooks JOIN sweeps ON sweeps.tenant = webhooks.tenant
    WHERE sweeps.id = NEW.sweep_id AND webhooks.disabled_at IS NULL AND 'sweep.' || NEW.type = ANY (webhooks.events);
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER sweep_event_written AFTER INSERT ON sweep_events FOR EACH ROW EXECUTE FUNCTION sweep_event_written()
"""


def upgrade() -> None:
    """Apply the migration."""
    time, now = sa.DateTime(timezone=True), sa.func.now()
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("name", sa.String()),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("spec", JSONB(), nullable=False),
        sa.Column("event_seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("search", JSONB()),
        sa.Column("error", JSONB()),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("finished_at", time),
    )
    newest = sa.text("created_at DESC"), sa.text("id DESC")
    op.create_index("ix_sweeps_tenant_newest", "sweeps", ["tenant", *newest])
    op.create_index("ix_sweeps_unfinished", "sweeps", ["id"], postgresql_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "sweep_events",
        sa.Column("sweep_id", sa.Uuid(), sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("created_at", time, server_default=now, nullable=False),
    )
    op.add_column("jobs", sa.Column("sweep_id", sa.Uuid()))
    op.add_column("jobs", sa.Column("sweep_position", sa.Integer()))
    op.add_column("jobs", sa.Column("sweep_values", JSONB()))
    op.add_column("jobs", sa.Column("sweep_seq", sa.Integer()))
    op.create_index(
        "ix_jobs_sweep",
        "jobs",
        ["sweep_id", "sweep_position", "created_at"],
        postgresql_where=sa.text("sweep_id IS NOT NULL"),
    )
    op.add_column("webhook_deliveries", sa.Column("sweep_id", sa.Uuid(), sa.ForeignKey("sweeps.id", ondelete="CASCADE")))
    op.create_index(
        "ix_webhook_deliveries_sweep",
        "webhook_deliveries",
        ["sweep_id"],
        postgresql_where=sa.text("sweep_id IS NOT NULL"),
    )
    op.add_column("triggers", sa.Column("starts", sa.String(), server_default="job", nullable=False))
    op.add_column("trigger_firings", sa.Column("sweep_id", sa.Uuid(), sa.ForeignKey("sweeps.id", ondelete="SET NULL")))
    op.create_index("ix_trigger_firings_sweep", "trigger_firings", ["sweep_id"], postgresql_where=sa.text("sweep_id IS NOT NULL"))
    op.execute(_WRITTEN)
    op.execute(_TRIGGER)
