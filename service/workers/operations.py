"""List of the workers."""

from collections.abc import Sequence

from service.database.engine import Database
from service.settings import Settings
from service.workers import repository
from service.workers.repository import Occupation


def known(database: Database, settings: Settings) -> Sequence[Occupation]:
    """Return every recent worker and the attempt that it runs."""
    with database.begin() as session:
        return repository.occupations(session, silent_seconds=settings.lease_seconds)
