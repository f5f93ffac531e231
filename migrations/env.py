"""Alembic environment, used by `service.database.schema.upgrade` and by the `alembic` command in development."""

import os

from alembic import context
from sqlalchemy import text

from service.database.address import DatabaseAddress
from service.database.connecting import single_engine
from service.database.schema import metadata

_LOCK = 0x64736E6F74  # "dsnot": one migration at a time


def run() -> None:
    """Run the migrations in one transaction, under an advisory lock."""
    address = context.config.attributes.get("address") or os.environ["DSNOT_DATABASE_URL"]
    with single_engine(DatabaseAddress.of(address)).connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()


run()
