"""Retention rules visit the rows that they delete, not the whole table."""

from service.database.engine import Database
from service.dispatcher.garbage_collection import GarbageCollector
from service.settings import Settings
from tests.support.statements import recorded_statements

_ROWS = 3000
_KEPT = """
INSERT INTO webhooks (tenant, url, events, description) VALUES ('acme', 'https://example.org', '{}', '');
INSERT INTO triggers (tenant, name, template, source, description) VALUES ('acme', 'name', '{}', 'json', '');
INSERT INTO api_keys (id, tenant, name, secret_sha256, scopes) VALUES ('key', 'acme', 'name', 'x', '{}');
INSERT INTO webhook_deliveries (webhook_id, type, state, finished_at)
    SELECT webhooks.id, 'x', 'delivered', now() FROM webhooks, n;
INSERT INTO trigger_firings (trigger_id, kind, event_id, outcome)
    SELECT triggers.id, 'x', n.n, CASE WHEN n.n % 10 = 0 THEN 'duplicate' ELSE 'fired' END FROM triggers, n;
INSERT INTO idempotency_keys (tenant, key, fingerprint, status, headers, body) SELECT 'acme', n.n, 'x', 201, '{}', '' FROM n;
INSERT INTO jobs (id, tenant, state, spec, model, labels, priority, max_attempts)
    VALUES ('00000000-0000-0000-0000-000000000001', 'acme', 'queued', '{}', 'x', '{}', 0, 1);
INSERT INTO job_logs (job_id, seq, attempt, level, text, bytes)
    SELECT '00000000-0000-0000-0000-000000000001', n.n, 1, 20, 'x', 101 FROM n;
INSERT INTO model_checks (key, asked_at, answer) SELECT n.n, now(), '{}' FROM n;
INSERT INTO sessions (token_sha256, key_id, secret_sha256, expires_at)
    SELECT n.n::text::bytea, 'key', 'x', now() + interval '1 day' FROM n;
INSERT INTO audit_entries (tenant, action, path, created_at)
    SELECT 'acme', 'x', '/', now() - interval '2 years' * (n.n % 2) FROM n;
INSERT INTO tenant_quotas (tenant, keep_jobs_seconds, keep_artifacts_seconds, keep_layers_seconds, keep_audit_seconds)
    VALUES ('acme', 0, 0, 0, 0);
INSERT INTO sweeps (id, tenant, state, model, labels, spec, finished_at)
    SELECT gen_random_uuid(), 'acme', 'finished', 'x', '{}', '{}', now() - interval '2 years' FROM n;
INSERT INTO jobs (id, tenant, state, spec, model, labels, priority, max_attempts, artifact_prefix, finished_at, blocks_removed_at)
    SELECT gen_random_uuid(), 'acme', 'succeeded', '{}', 'x', '{}', 0, 1, 'x', now() - interval '2 years', now() FROM n;
"""


def test_retention_visits_no_rows_that_are_kept(settings: Settings, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE n ON COMMIT DROP AS SELECT generate_series(1, {_ROWS}) AS n")
        for statement in _KEPT.strip().split(";\n"):
            connection.exec_driver_sql(statement.removesuffix(";").replace("%", "%%"))
    with database.engine.connect() as connection:  # without the pages of earlier tests' rows
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM (FULL, ANALYZE)")

    with recorded_statements() as executed:
        limited = settings.model_copy(update=dict.fromkeys(("keep_jobs_seconds", "keep_artifacts_seconds"), 86_400.0))
        collector = GarbageCollector(limited)
        for rule in (*collector._rules_of_rows(), collector._expire_jobs, collector._expire_artifacts):
            rule()

    visited = {statement.sql: statement.rows_scanned(database) for statement in list(executed)}
    assert len(visited) >= 12
    assert max(visited.values()) < _ROWS / 2, visited
