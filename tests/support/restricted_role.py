"""The workers' database role, as `dsnot migrate` creates it."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

from sqlalchemy import text

from service.database import worker_role
from service.database.engine import Database

_ROLE = "dsnot_worker_of_a_test"
_PASSWORD = "it's-\\-secret"  # not a secret


@contextmanager
def restricted_role(owner: str) -> Iterator[str]:
    """Yield the database's URL with the role, created twice; drop the role at the end."""
    place = urlsplit(owner)
    url = place._replace(netloc=f"{_ROLE}:{quote(_PASSWORD, safe='')}@{place.netloc.rpartition('@')[2]}").geturl()
    for _ in range(2):
        assert worker_role.ensure(owner, url) == _ROLE
    try:
        yield url
    finally:
        database = Database(owner)
        with database.begin() as session:
            session.execute(text(f"DROP OWNED BY {_ROLE}"))
            session.execute(text(f"DROP ROLE {_ROLE}"))
        database.close()
