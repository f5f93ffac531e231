"""Installation id, which binds the artifact store to one database: no other database may delete files of the store.

The migration creates the database's id; the first garbage collection copies it into the store. A restored database has its id
from the dump; an empty or foreign one has another id.
"""

import io
from typing import Final

from sqlalchemy import select

from service.database import schema
from service.database.engine import Database
from service.database.tables.installation import Installation
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore

PATH: Final = "installation"
"""Path of the id in the store."""
REMEDY: Final = (
    "correct DSNOT_DATABASE_URL or DSNOT_ARTIFACT_URL, or restore the right database; if this database is to own the store, "
    f"delete the object `{PATH}` from it"
)


def copy_to(store: ArtifactStore, database: Database) -> None:
    """Write the database's id into a store that has none. Raise StoreUnavailable."""
    of_database = _id_of(database)
    if of_database is not None and in_store(store) is None:
        store.put(PATH, io.BytesIO(of_database.encode()))


def mismatch(database: Database, store: ArtifactStore) -> str | None:
    """Return why the database must not delete files of the store; None if both have the same id. Raise StoreUnavailable."""
    of_database, of_store = _id_of(database), in_store(store)
    if of_database is not None and of_database == of_store:
        return None
    return f"the artifact store belongs to the database {of_store or 'unknown'}, and this is {of_database or 'unknown'}"


def in_store(store: ArtifactStore) -> str | None:
    """Return the store's id; None if it has none. Raise StoreUnavailable."""
    try:
        return store.read(PATH).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def broker_prefix(settings: Settings) -> str:
    """Return the prefix of all keys in the broker: the setting, or one of the database's own. Raise SQLAlchemyError."""
    if settings.broker_prefix is not None:
        return settings.broker_prefix
    return f"dsnot-{schema.installation_of(settings.database_address)}:"


def _id_of(database: Database) -> str | None:
    with database.begin() as session:
        found = session.scalars(select(Installation.id)).one_or_none()
    return str(found) if found else None
