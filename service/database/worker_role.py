"""Database role of the workers, which read untrusted models: no keys, sessions, audit log, webhook URLs or triggers."""

from typing import Any, Final

from psycopg import sql
from sqlalchemy import CursorResult

from service.database.address import DatabaseAddress
from service.database.connecting import single_engine

RIGHTS: Final = {
    "alembic_version": "SELECT",
    "installation": "SELECT",
    "attempts": "SELECT, INSERT, UPDATE",
    "job_events": "SELECT, INSERT",
    "job_logs": "SELECT (job_id, seq, bytes), INSERT",
    "jobs": "SELECT, UPDATE",
    "layers": "SELECT, INSERT, DELETE",
    "mlflow_exports": "INSERT",
    "model_checks": "SELECT, UPDATE",
    "outbox": "SELECT, INSERT",
    "run_speeds": "SELECT, INSERT, DELETE",
    "schema_serves": "SELECT",
    "tenant_quotas": "SELECT (tenant, max_running_jobs, share)",
    "webhook_deliveries": "INSERT",
    "webhooks": "SELECT (id, tenant, events, disabled_at)",
    "workers": "SELECT, INSERT, UPDATE",
}
"""Rights by table. Those of webhooks and deliveries are for the database trigger that adds a delivery to an event."""


def ensure(database: DatabaseAddress | str, worker_url: str) -> str:
    """Create or change the role of `worker_url`: its password, and exactly the rights of a worker; return its name.

    Raises:
        ValueError: the URL has no user or no password, or the user is the owner.
        sqlalchemy.exc.DBAPIError: the database does not answer, or its user may not create roles.
    """
    owner = DatabaseAddress.of(database)
    worker = DatabaseAddress.of(worker_url).parameters
    name, password = worker.get("user"), worker.get("password")
    if not name or not password or name == owner.parameters.get("user"):
        raise ValueError("needs a user and a password of its own")
    role = sql.Identifier(name)
    with single_engine(owner).begin() as connection:
        driver: Any = connection.connection.driver_connection

        def run(statement: str, *parts: sql.Composable) -> CursorResult[Any]:
            return connection.exec_driver_sql(sql.SQL(statement).format(*parts).as_string(driver))

        run("SELECT pg_advisory_xact_lock(hashtext('dsnot worker role'))")
        if run("SELECT FROM pg_roles WHERE rolname = {}", sql.Literal(name)).fetchone() is None:
            run("CREATE ROLE {}", role)
        verifier = driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        run("ALTER ROLE {} LOGIN PASSWORD {}", role, sql.Literal(verifier.decode()))
        run("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", role)
        for table, rights in RIGHTS.items():
            run(f"GRANT {rights} ON {{}} TO {{}}", sql.Identifier(table), role)
    return name
