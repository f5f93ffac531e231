"""Webhook subscriptions, deliveries and delivery attempts.

A database trigger inserts the deliveries, so that code of any version that inserts an event also enqueues its messages.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_DELIVERIES = """
CREATE FUNCTION job_event_delivered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, type, job_id, seq)
    SELECT webhooks.id, 'job.' || NEW.type, NEW.job_id, NEW.seq
    FROM webhooks JOIN jobs ON jobs.tenant = webhooks.tenant
    WHERE jobs.id = NEW.job_id AND webhooks.disabled_at IS NULL AND 'job.' || NEW.type = ANY (webhooks.events);
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER job_event_delivered AFTER INSERT ON job_events
FOR EACH ROW WHEN (NEW.type NOT IN ('block_pruned', 'stage_started')) EXECUTE FUNCTION job_event_delivered()
"""


def upgrade() -> None:
    """Apply the migration."""
    time = sa.DateTime(timezone=True)
    now = sa.func.now()
    new_id = sa.func.gen_random_uuid()
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), server_default=new_id, primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.String()), nullable=False),
        sa.Column("secret_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("old_secret_until", time),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("disabled_at", time),
        sa.Column("disabled_because", sa.String()),
    )
    op.create_index("ix_webhooks_tenant", "webhooks", ["tenant", "created_at", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), server_default=new_id, primary_key=True),
        sa.Column("webhook_id", sa.Uuid(), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("jobs.id", ondelete="CASCADE")),
        sa.Column("seq", sa.Integer()),
        sa.Column("body", sa.String()),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_left_from", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", time, server_default=now, nullable=False),
        sa.Column("next_attempt_at", time, server_default=now, nullable=False),
        sa.Column("finished_at", time),
    )
    pending = sa.text("state = 'pending'")
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["next_attempt_at"], postgresql_where=pending)
    newest = sa.text("created_at DESC"), sa.text("id DESC")
    op.create_index("ix_webhook_deliveries_newest", "webhook_deliveries", ["webhook_id", *newest])
    op.create_index("ix_webhook_deliveries_job", "webhook_deliveries", ["job_id"])
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.Uuid(), sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("ended_at", time, server_default=now, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.String()),
    )
    op.execute(_DELIVERIES)
    op.execute(_TRIGGER)
