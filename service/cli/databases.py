"""Direct access to the database, for the operator's commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.cli.output import CommandFailed

if TYPE_CHECKING:
    from service.database.engine import Database


@contextmanager
def the_database() -> Iterator["Database"]:
    """Open the database of `$DSNOT_DATABASE_URL`, or of this home's running stack; report its errors as CommandFailed."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from service.client.discovery import running_stack, this_home
    from service.database.engine import Database
    from service.errors import Problem

    url = os.environ.get("DSNOT_DATABASE_URL") or running_stack(this_home()).database_url
    try:
        database = Database(url, pool_size=1)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    try:
        yield database
    except Problem as problem:
        raise CommandFailed(problem.detail) from problem
    except OperationalError as error:
        raise CommandFailed("the database does not answer; check DSNOT_DATABASE_URL") from error
    except ProgrammingError as error:
        raise CommandFailed("the database does not have the tables of this version; run `dsnot migrate` first") from error
    finally:
        database.close()
