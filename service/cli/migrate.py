"""`dsnot migrate`: migration of the database's schema to this version."""

import os

from service.cli.databases import database_errors_reported, database_settings
from service.cli.output import CommandFailed, note


def migrate() -> None:
    """Migrate the database of $DSNOT_DATABASE_URL to this version. Safe while the service runs, and concurrently."""
    from service.database import schema

    url = os.environ.get("DSNOT_DATABASE_URL")
    if not url:
        raise CommandFailed("DSNOT_DATABASE_URL is not set; set it, or run `dsnot up`, which migrates its own database")
    address = database_settings(url).direct_address
    with database_errors_reported():
        before = schema.revisions(address)
        if before.current is not None and not before.is_known:
            note(f"the schema is at {before.current}, which is newer than this version's {before.expected}; nothing to do")
            return
        schema.upgrade(address)
    changed = "is up to date" if before.current == before.expected else f"was migrated from {before.current or 'nothing'}"
    note(f"the schema {changed}: {before.expected}")
