"""Direct access to the database, for the operator's commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.cli.output import CommandFailed

if TYPE_CHECKING:
    from service.database.engine import Database
    from service.settings import DatabaseSettings


@contextmanager
def the_database() -> Iterator["Database"]:
    """Open the database of `$DSNOT_DATABASE_URL`, or of this home's running stack; report its errors as CommandFailed."""
    from service.client.discovery import running_stack, this_home
    from service.database.engine import Database
    from service.errors import Problem

    url = os.environ.get("DSNOT_DATABASE_URL") or running_stack(this_home()).database_url
    database = Database(database_settings(url).database_address, pool_size=1)
    try:
        with database_errors_reported():
            yield database
    except Problem as problem:
        raise CommandFailed(problem.detail) from problem
    finally:
        database.close()


def database_settings(url: str) -> "DatabaseSettings":
    """Return the settings of a database; a malformed one raises CommandFailed."""
    from pydantic import ValidationError

    from service.settings import DatabaseSettings, problems_of

    try:
        return DatabaseSettings.model_validate({"database_url": url})
    except ValidationError as error:
        raise CommandFailed("; ".join(problems_of(error))) from None


@contextmanager
def database_errors_reported() -> Iterator[None]:
    """Report errors of the database as CommandFailed, with the reason."""
    from sqlalchemy.exc import DBAPIError

    from service.database.reasons import reason_of

    try:
        yield
    except DBAPIError as error:
        raise CommandFailed(f"DSNOT_DATABASE_URL: the database cannot be used: {reason_of(error)}") from error
