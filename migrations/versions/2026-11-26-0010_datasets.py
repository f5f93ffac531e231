"""Uploaded data sets, and the jobs that use them.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply the migration."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "datasets",
        sa.Column("upload_id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), primary_key=True),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("characters", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("deleted_at", time),
    )
    lives, gone = sa.text("deleted_at IS NULL"), sa.text("deleted_at IS NOT NULL")
    op.create_index("uq_datasets_id", "datasets", ["tenant", "id"], unique=True, postgresql_where=lives)
    newest = sa.text("created_at DESC"), sa.text("upload_id DESC")
    op.create_index("ix_datasets_tenant_newest", "datasets", ["tenant", *newest])
    op.create_index("ix_datasets_path", "datasets", ["path"])
    op.create_index("ix_datasets_deleted", "datasets", ["deleted_at"], postgresql_where=gone)
    op.create_table(
        "job_datasets",
        sa.Column("job_id", sa.Uuid(), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("upload_id", sa.Uuid(), sa.ForeignKey("datasets.upload_id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("ix_job_datasets_upload", "job_datasets", ["upload_id"])
