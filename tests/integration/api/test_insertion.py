"""The quota of queued jobs: exact, although the queue is counted only now and then."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import event, text

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.jobs import insertion
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from tests.support.api_server import BODY, client, insert_job, key_for, serving, set_job

MOST = 5
SPEC = JobSpec.model_validate(BODY)

Create = Callable[[], int]


@pytest.fixture
def create(settings: Settings, database: Database) -> Iterator[Create]:
    """Ask for a job of a tenant who may have five waiting; the answer's status."""
    with (
        serving(settings.model_copy(update={"max_queued_jobs": MOST})) as url,
        client(url, key_for(database, Scope.ADMIN)) as api,
    ):
        yield lambda: api.post("/v1/jobs", json=BODY).status_code


def bound(database: Database) -> int:
    """Of what has not ended."""
    with database.begin() as session:
        return int(session.execute(text("SELECT unfinished_at_most FROM tenant_queues WHERE tenant = 'acme'")).scalar_one())


def let_count_grow_old(database: Database) -> None:
    with database.begin() as session:
        session.execute(text("UPDATE tenant_queues SET counted_at = now() - interval '61 seconds'"))


def test_started_and_finished_jobs_free_the_quota(create: Create, database: Database) -> None:
    jobs = [insert_job(database) for _ in range(MOST - 1)]
    assert [create(), create()] == [201, 429]
    set_job(database, jobs[0], state=JobState.RUNNING)
    assert [create(), create()] == [201, 429]
    set_job(database, jobs[1], state=JobState.CANCELLED)
    assert [create(), create()] == [201, 429]


def test_uncounted_jobs_are_included_within_a_minute(create: Create, database: Database) -> None:
    assert create() == 201
    for _ in range(MOST):
        insert_job(database)  # as an older version of the service would
    assert create() == 201
    let_count_grow_old(database)
    assert create() == 429


def test_a_tenants_own_limit_applies_from_the_next_job_on(create: Create, database: Database) -> None:
    assert [create(), create()] == [201, 201]
    quotas.set_limits(database, "acme", {"max_queued_jobs": 2})
    assert create() == 429
    quotas.set_limits(database, "acme", {"max_queued_jobs": 3})
    assert [create(), create()] == [201, 429]


@pytest.mark.parametrize("running", [0, MOST + 1])
def test_concurrent_creations_do_not_exceed_the_limit(create: Create, database: Database, running: int) -> None:
    for _ in range(running):
        insert_job(database, state=JobState.RUNNING)  # the bound is of no use then
    barrier = threading.Barrier(4 * MOST)

    def one(_: int) -> int:
        barrier.wait()
        return create()

    with ThreadPoolExecutor(4 * MOST) as threads:
        answers = sorted(threads.map(one, range(4 * MOST)))
    assert answers == [201] * MOST + [429] * 3 * MOST


def test_a_rolled_back_job_leaves_no_trace(database: Database) -> None:
    with database.begin() as session:
        assert insertion.insert_job(session, SPEC, tenant="acme", max_queued_jobs=MOST)
    with suppress(ZeroDivisionError), database.begin() as session:
        assert insertion.insert_job(session, SPEC, tenant="acme", max_queued_jobs=MOST)
        raise ZeroDivisionError
    assert bound(database) == 1
    with database.begin() as session:
        found = session.execute(text("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM job_events)")).one()
    assert tuple(found) == (1, 1)


def test_the_queue_is_not_counted_for_every_job(database: Database) -> None:
    with statements(database) as seen:
        for _ in range(3):
            with database.begin() as session:
                assert insertion.insert_job(session, SPEC, tenant="acme", max_queued_jobs=MOST)
    assert [sum("count(*)" in statement for statement in seen), len(seen)] == [1, 6]
    assert bound(database) == 3


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)
