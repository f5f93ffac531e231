"""Old code on the new schema: what processes of every earlier revision write and read must still be there.

A migration that breaks this has to raise `schema_serves.oldest`, and then no process of that age starts any more.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import (
    UUID,
    Column,
    DateTime,
    Engine,
    MetaData,
    Table,
    Text,
    cast,
    create_engine,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url

from service.contract.states import JobState
from service.database import schema

VERSIONS = sorted((Path(__file__).parents[3] / "migrations" / "versions").glob("*.py"))
CONFIG = schema._config("postgresql://")
REVISIONS = [script.revision for script in ScriptDirectory.from_config(CONFIG).walk_revisions()][::-1]
TAKES_AWAY = {"drop_table", "drop_column", "rename_table", "alter_column", "create_check_constraint", "create_unique_constraint"}
BORN_LATER = {"schema_serves", "alembic_version"}


@pytest.fixture(scope="module")
def schemas(database_url: str) -> Iterator[dict[str, Engine]]:
    """A database of each revision, on the tests' server."""
    address = make_url(database_url).set(drivername="postgresql+psycopg")
    server = create_engine(address, isolation_level="AUTOCOMMIT")
    engines = {}
    for revision in REVISIONS:
        name = f"revision_{revision}"
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        url = address.set(database=name)
        command.upgrade(schema._config(url.render_as_string(hide_password=False)), revision)
        engines[revision] = create_engine(url)
    yield engines
    for engine in engines.values():
        engine.dispose()
    with server.connect() as connection:
        for revision in REVISIONS:
            connection.execute(text(f"DROP DATABASE revision_{revision} WITH (FORCE)"))
    server.dispose()


def tables_of(engine: Engine) -> list[Table]:
    """As code of that age knows them, in an order in which rows can be written."""
    metadata = MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables if table.name not in BORN_LATER]


def value(column: "Column[Any]", job_id: object) -> Any:
    """Something that code of that age could write into a column that needs a value."""
    if isinstance(column.type, UUID):  # one for all, so that references lead somewhere
        return job_id
    if column.name == "state":
        return str(JobState.QUEUED)
    if isinstance(column.type, JSONB):
        return {}
    if isinstance(column.type, DateTime):
        return func.now()
    plain: dict[type, Any] = {str: "x", int: 1, float: 1.0, bytes: b"x", list: []}
    return plain[column.type.python_type]


def needed(table: Table) -> "list[Column[Any]]":
    return [
        c for c in table.columns if not c.nullable and (c.server_default is None or isinstance(c.type, UUID)) and not c.identity
    ]


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_old_code_can_read_and_write_on_the_newest_schema(schemas: dict[str, Engine], revision: str) -> None:
    job_id = uuid4()
    with schemas[REVISIONS[-1]].begin() as connection:
        for table in tables_of(schemas[revision]):
            connection.execute(insert(table).values({column.name: value(column, job_id) for column in needed(table)}))
            shown = [cast(column, Text) if isinstance(column.type, DateTime) else column for column in table.columns]
            connection.execute(select(*shown)).all()  # times as text, because Python has no -infinity
        jobs = next(table for table in tables_of(schemas[revision]) if table.name == "jobs")
        for state in (JobState.RUNNING, JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED):
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=str(state)))
        connection.rollback()


@pytest.mark.parametrize("file", VERSIONS, ids=lambda file: file.stem)
def test_a_migration_only_adds_or_states_the_code_it_drops(file: Path) -> None:
    source = file.read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    takes = names & TAKES_AWAY
    strict = [ast.unparse(node) for node in calls if _adds_a_column_that_old_code_would_have_to_fill(node)]
    assert not (takes or strict) or "UPDATE schema_serves" in source, (takes, strict)


def _adds_a_column_that_old_code_would_have_to_fill(node: ast.Call) -> bool:
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "add_column"):
        return False
    column = node.args[1]
    assert isinstance(column, ast.Call)
    given = {keyword.arg: keyword.value for keyword in column.keywords}
    nullable = given.get("nullable")
    return isinstance(nullable, ast.Constant) and nullable.value is False and "server_default" not in given


def test_revision_dates_follow_the_order_of_revisions() -> None:
    """`schema_serves` compares them."""
    assert sorted(REVISIONS) == REVISIONS
    assert len({len(revision) for revision in REVISIONS}) == 1
