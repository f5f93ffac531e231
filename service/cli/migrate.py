"""`dsnot migrate`: migration of the database's schema to this version."""

import os

from service.cli.databases import database_errors_reported, database_settings
from service.cli.output import CommandFailed, note


def migrate() -> None:
    """Migrate the database of $DSNOT_DATABASE_URL to this version. Safe while the service runs, and concurrently.

    If $DSNOT_WORKER_DATABASE_URL is set, its role gets the rights of a worker, and is created if it does not exist.
    If $DSNOT_WORKER_STORE_PRINCIPAL is set, the policy of the bucket in $DSNOT_ARTIFACT_URL gives it the rights of a worker.
    """
    from sqlalchemy.exc import ProgrammingError

    from service.database import schema, worker_role

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
        if worker_url := os.environ.get("DSNOT_WORKER_DATABASE_URL"):
            try:
                note(f"the role {worker_role.ensure(address, worker_url)} has the rights of a worker")
            except ValueError as error:
                raise CommandFailed(f"DSNOT_WORKER_DATABASE_URL: {error}") from None
            except ProgrammingError as error:
                raise CommandFailed("DSNOT_DATABASE_URL: its user may not create roles; name one that may") from error
    if principal := os.environ.get("DSNOT_WORKER_STORE_PRINCIPAL"):
        _grant_store(principal)
    changed = "is up to date" if before.current == before.expected else f"was migrated from {before.current or 'nothing'}"
    note(f"the schema {changed}: {before.expected}")


def _grant_store(principal: str) -> None:
    from service.storage import worker_policy
    from service.storage.addresses import StoreNotUsable

    try:
        worker_policy.ensure(os.environ.get("DSNOT_ARTIFACT_URL", ""), principal)
    except StoreNotUsable as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise CommandFailed(f"DSNOT_WORKER_STORE_PRINCIPAL: {error}") from error
    note(f"the bucket's policy gives {principal} the rights of a worker")
