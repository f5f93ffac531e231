"""`dsnot migrate`: the database's schema, brought to what this version needs."""

import os

from service.cli.output import CommandFailed, note


def migrate() -> None:
    """Bring the database of $DSNOT_DATABASE_URL up to date. Safe while the service runs, and from two places at once."""
    from sqlalchemy.exc import OperationalError

    from service.database import schema

    url = os.environ.get("DSNOT_DATABASE_URL")
    if not url:
        raise CommandFailed("DSNOT_DATABASE_URL is not set; `dsnot up` brings its own database up to date by itself")
    try:
        before = schema.revisions(url)
        if before.current is not None and not before.is_known:
            note(f"the schema is at {before.current}, which is newer than this version's {before.expected}; nothing to do")
            return
        schema.upgrade(url)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    except OperationalError as error:
        raise CommandFailed(f"DSNOT_DATABASE_URL: the database cannot be reached: {str(error.orig).splitlines()[0]}") from error
    changed = "is up to date" if before.current == before.expected else f"went from {before.current or 'nothing'}"
    note(f"the schema {changed}: {before.expected}")
