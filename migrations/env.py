"""Alembic environment, used by `service.database.schema.upgrade` and by the `alembic` command in development."""

import os

from alembic import context
from sqlalchemy import create_engine, pool, text

from service.database.engine import database_dsn
from service.database.schema import metadata

_LOCK = 0x64736E6F74  # "dsnot": one migration at a time


def run() -> None:
    """Run the migrations in one transaction, under an advisory lock."""
    url = context.config.attributes.get("database_url") or os.environ["DSNOT_DATABASE_URL"]
    engine = create_engine(database_dsn(url), poolclass=pool.NullPool, connect_args={"connect_timeout": 4})
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()


run()
