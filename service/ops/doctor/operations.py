"""Examination of a whole deployment."""

from service.database.engine import Database
from service.ops.doctor import servers, work
from service.ops.doctor.findings import Finding, carry_out
from service.settings import Settings


def examine(settings: Settings, *, is_embedded: bool = False) -> list[Finding]:
    """Return the findings of all checks, dependencies first; `is_embedded`: the servers are those of `dsnot up`."""
    database = Database(settings.database_address, pool_size=6, answer_seconds=2.0)
    try:
        return carry_out([*servers.checks(settings, database, is_embedded=is_embedded), *work.checks(settings, database)])
    finally:
        database.close()
