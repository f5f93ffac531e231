"""Rotation and time of last use of API keys, per-tenant quotas, and the audit log.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply the migration."""
    time = sa.DateTime(timezone=True)
    op.add_column("api_keys", sa.Column("last_used_at", time))
    op.add_column("api_keys", sa.Column("old_secret_sha256", sa.LargeBinary(32)))
    op.add_column("api_keys", sa.Column("old_secret_until", time))
    op.create_index("ix_api_keys_tenant_newest", "api_keys", ["tenant", sa.text("created_at DESC"), sa.text("id DESC")])
    op.create_table(
        "tenant_quotas",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("max_queued_jobs", sa.Integer()),
        sa.Column("max_datasets_bytes", sa.BigInteger()),
        sa.Column("max_triggers", sa.Integer()),
        sa.Column("max_webhooks", sa.Integer()),
        sa.Column("reads_per_minute", sa.Integer()),
        sa.Column("writes_per_minute", sa.Integer()),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), primary_key=True),
        sa.Column("created_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key_id", sa.String()),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created", sa.String()),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("problem", sa.String()),
        sa.Column("request_id", sa.String()),
        sa.Column("address", sa.String()),
    )
    op.create_index("ix_audit_entries_tenant_newest", "audit_entries", ["tenant", sa.text("created_at DESC"), sa.text("id DESC")])
    op.create_index("ix_audit_entries_created_at", "audit_entries", ["created_at"])
