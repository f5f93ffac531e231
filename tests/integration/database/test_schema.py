"""The database that the migrations build: its rules are those of the contract."""

from itertools import product

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from service.contract.states import TERMINAL_STATES, TRANSITIONS, JobState
from service.database import schema
from service.database.engine import Database
from service.database.tables.jobs import Job
from tests.support.api_server import insert_job


def test_the_migrations_match_the_table_definitions(database_url: str) -> None:
    schema.check(database_url)


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = schema.revisions(database_url)
    schema.upgrade(database_url)
    assert schema.revisions(database_url) == before
    assert before.current == before.expected
    assert before.problem is None


def goes(database: Database, source: JobState, target: JobState) -> bool:
    job_id = insert_job(database, state=source)
    try:
        with database.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(state=target))
    except IntegrityError:
        return False
    return True


def test_the_database_enforces_the_transitions_of_the_contract(database: Database) -> None:
    allowed = {(source, target) for source, target in product(JobState, JobState) if goes(database, source, target)}
    staying = {(state, state) for state in JobState}
    assert allowed == staying | {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_terminal_states_have_no_transitions() -> None:
    """What the contract itself must say, in words of the design."""
    names = {"succeeded", "failed", "cancelled", "expired"}
    assert names == TERMINAL_STATES
    assert not any(TRANSITIONS[state] for state in TERMINAL_STATES)


@pytest.mark.parametrize("column", ["priority", "stage"])
def test_every_change_of_a_job_increments_its_version(database: Database, column: str) -> None:
    job_id = insert_job(database)
    value = {"priority": 3, "stage": "loading"}[column]
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values({column: value}))
    with database.begin() as session:
        job = session.get_one(Job, job_id)
        assert job.version == 2
        assert job.updated_at > job.created_at
