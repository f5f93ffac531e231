"""Limits and usage of a tenant across all resources."""

from service.artifacts import repository as artifacts
from service.database.engine import Database
from service.datasets import repository as datasets
from service.jobs import repository as jobs
from service.settings import Settings
from service.tenants.quotas.operations import Limits, Use, limits_in
from service.triggers import repository as triggers
from service.webhooks import repository as webhooks


def limits_and_use(database: Database, settings: Settings, *, tenant: str) -> tuple[Limits, Use]:
    """Return limits and usage, read in one transaction."""
    with database.begin() as session:
        use = Use(
            queued_jobs=jobs.count_queued(session, tenant),
            datasets_bytes=datasets.bytes_of(session, tenant),
            triggers=triggers.count(session, tenant),
            webhooks=webhooks.count(session, tenant),
            artifacts_bytes=artifacts.bytes_of(session, tenant),
        )
        return limits_in(session, settings, tenant), use
