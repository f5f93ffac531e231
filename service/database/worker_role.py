"""Database role of the workers, which read untrusted models: no keys, sessions, quotas, audit log, webhook URLs or triggers."""

from typing import Final

import psycopg
from psycopg import sql

from service.database.engine import database_dsn

RIGHTS: Final = {
    "alembic_version": "SELECT",
    "attempts": "SELECT, INSERT, UPDATE",
    "job_events": "SELECT, INSERT",
    "jobs": "SELECT, UPDATE",
    "layers": "SELECT, INSERT, DELETE",
    "outbox": "SELECT, INSERT",
    "run_speeds": "SELECT, INSERT, DELETE",
    "schema_serves": "SELECT",
    "webhook_deliveries": "INSERT",
    "webhooks": "SELECT (id, tenant, events, disabled_at)",
    "workers": "SELECT, INSERT, UPDATE",
}
"""Rights by table. Those of webhooks and deliveries are for the database trigger that adds a delivery to an event."""


def ensure(database_url: str, worker_url: str) -> str:
    """Create or change the role of `worker_url`: its password, and exactly the rights of a worker; return its name.

    Raises:
        ValueError: the URL has no user or no password, or the user is the owner.
        psycopg.Error: the database does not answer, or `database_url` may not create roles.
    """
    owner, worker = database_dsn(database_url), database_dsn(worker_url)
    if not worker.username or not worker.password or worker.username == owner.username:
        raise ValueError("DSNOT_WORKER_DATABASE_URL needs a user and a password of its own")
    role = sql.Identifier(worker.username)
    with psycopg.connect(
        owner.set(drivername="postgresql").render_as_string(hide_password=False), connect_timeout=4
    ) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('dsnot worker role'))")
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (worker.username,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        password = connection.pgconn.encrypt_password(str(worker.password).encode(), worker.username.encode(), b"scram-sha-256")
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password.decode())))
        connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(role))
        for table, rights in RIGHTS.items():
            grant = sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), role)
            connection.execute(grant)
    return worker.username
