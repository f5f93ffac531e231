"""One-time links that open dashboard sessions.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "sign_in_links",
        sa.Column("token_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_id", sa.String(), sa.ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_sign_in_links_key_id", "sign_in_links", ["key_id"])
    op.create_index("ix_sign_in_links_expires_at", "sign_in_links", ["expires_at"])
