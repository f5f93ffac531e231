"""Looking at the workers."""

from collections.abc import Sequence

from service.database.engine import Database
from service.settings import Settings
from service.workers import repository
from service.workers.repository import Occupation


def known(database: Database, settings: Settings) -> Sequence[Occupation]:
    """Every worker of late, and what it works on."""
    with database.begin() as session:
        return repository.occupations(session, silent_seconds=settings.lease_seconds)
