"""API key for programs of the same home, and the secret key of its service."""

import secrets
from pathlib import Path

from service.contract.scopes import Scope
from service.database.engine import Database
from service.embedded.record import write_private
from service.tenants.keys import operations


def ensure(database_url: str, file: Path) -> None:
    """Create a key with every scope, unless the one in `file` is valid. The database has only its hash; `file` is private."""
    database = Database(database_url, pool_size=1)
    try:
        if not file.exists() or operations.find_key(database, file.read_text().strip()) is None:
            _row, plaintext = operations.create_key(database, tenant="default", name="embedded", scopes=[Scope.ADMIN])
            write_private(file, plaintext)
    finally:
        database.close()


def secret(file: Path) -> str:
    """Return the secret key from which webhook secrets are derived; created at the first start."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32))
    return file.read_text().strip()
