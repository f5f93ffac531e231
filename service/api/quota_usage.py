"""Limits and usage of a tenant across all resources."""

from service.artifacts import repository as artifacts
from service.database.engine import Database
from service.database.tables.triggers import Trigger
from service.database.tables.webhooks import Webhook
from service.datasets import repository as datasets
from service.hooks import repository as hooks
from service.jobs import repository as jobs
from service.jobs.attempts.standings import count_running
from service.settings import Settings
from service.tenants.quotas.operations import Limits, Use, limits_in


def limits_and_use(database: Database, settings: Settings, *, tenant: str) -> tuple[Limits, Use]:
    """Return limits and usage, read in one transaction."""
    with database.begin() as session:
        use = Use(
            queued_jobs=jobs.count_queued(session, tenant),
            running_jobs=count_running(session, tenant),
            datasets_bytes=datasets.bytes_of(session, tenant),
            triggers=hooks.count(session, Trigger, tenant),
            webhooks=hooks.count(session, Webhook, tenant),
            artifacts_bytes=artifacts.bytes_of(session, tenant),
        )
        return limits_in(session, settings, tenant), use
