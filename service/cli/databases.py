"""The database itself, for the commands of whoever runs the service."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.cli.output import CommandFailed

if TYPE_CHECKING:
    from service.database.engine import Database


@contextmanager
def the_database() -> Iterator["Database"]:
    """That of `$DSNOT_DATABASE_URL`, or of this home's running stack. What goes wrong within becomes one clear sentence."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from service.client.discovery import running_stack
    from service.database.engine import Database
    from service.errors import Problem
    from service.settings import HomeSettings

    url = os.environ.get("DSNOT_DATABASE_URL") or running_stack(HomeSettings().home).database_url
    try:
        database = Database(url, pool_size=1)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    try:
        yield database
    except Problem as problem:
        raise CommandFailed(problem.detail) from problem
    except OperationalError as error:
        raise CommandFailed("the database does not answer; is DSNOT_DATABASE_URL right?") from error
    except ProgrammingError as error:
        raise CommandFailed("the database has not the tables of this service; bring it up to date first") from error
    finally:
        database.close()
