"""Limit of a tenant's running jobs: in the claim, in the place in the queue, and in the estimate."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import func, select

from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.outbox import OutboxMessage
from service.jobs.attempts import standings, transitions
from service.planning.queueing import Slot, place
from service.tenants.quotas import operations as quotas
from tests.support.tenant_queues import add, claim, end


def test_a_tenant_runs_no_more_jobs_than_its_quota_allows(database: Database) -> None:
    add(database, "limited", 5, priority=9, age=100)
    add(database, "other", 2)
    quotas.set_limits(database, "limited", {"max_running_jobs": 2})
    found = [claim(database) for _ in range(5)]
    assert Counter(each.tenant for each in found if each) == {"limited": 2, "other": 2}
    first = next(each for each in found if each and each.tenant == "limited")
    end(database, first.job_id)
    assert [each.tenant if each else None for each in (claim(database), claim(database))] == ["limited", None]


def test_a_limit_of_zero_holds_all_jobs_back(database: Database) -> None:
    add(database, "limited", 1)
    quotas.set_limits(database, "limited", {"max_running_jobs": 0})
    assert claim(database) is None
    quotas.set_limits(database, "limited", None)
    assert claim(database) is not None


def test_concurrent_claims_hold_the_limit(database: Database) -> None:
    add(database, "limited", 40)
    quotas.set_limits(database, "limited", {"max_running_jobs": 3})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claim(database), range(40)))
    assert sum(each is not None for each in found) == 3


def test_every_state_in_which_a_worker_holds_a_job_counts(database: Database) -> None:
    add(database, "limited", 2)
    quotas.set_limits(database, "limited", {"max_running_jobs": 1})
    held = claim(database)
    assert held is not None
    with database.begin() as session:
        session.get_one(Job, held.job_id).state = JobState.PAUSING
    assert claim(database) is None


def test_the_end_of_an_attempt_wakes_a_worker_for_the_next_job(database: Database) -> None:
    for tenant in ("limited", "other"):
        add(database, tenant, 2)
    quotas.set_limits(database, "limited", {"max_running_jobs": 1})
    found = {each.tenant: each for _ in range(2) if (each := claim(database))}
    woken = []
    for tenant in ("other", "limited"):
        with database.begin() as session:
            job = session.get_one(Job, found[tenant].job_id)
            job.state = JobState.CANCELLING
        with database.begin() as session:
            transitions.cancel(session, found[tenant].job_id, found[tenant].fence)
        with database.begin() as session:
            woken.append(session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one())
    assert woken == [0, 1]


def test_jobs_beyond_a_limit_are_not_claimable(database: Database) -> None:
    add(database, "limited", 5)
    add(database, "limited", 5, device="gpu")
    add(database, "free", 4)
    quotas.set_limits(database, "limited", {"max_running_jobs": 2})
    with database.begin() as session:
        assert standings.claimable(session) == {"any": 6, "cpu": 0, "gpu": 2}
    assert claim(database)
    assert claim(database)
    with database.begin() as session:
        assert standings.claimable(session) == {"any": 4, "cpu": 0, "gpu": 1}


@pytest.mark.parametrize("seed", range(4))
def test_the_place_in_the_queue_is_the_number_of_claims_before(database: Database, seed: int) -> None:
    """Of every job of a tenant, among others with random queues, shares and limits, at workers with jobs of equal length."""
    random = Random(seed)
    workers = random.randint(1, 6)
    names = ["mine", "a", "b", "c"]
    for number, tenant in enumerate(random.sample(names, 4)):
        add(database, tenant, random.randint(3, 12), age=1000 - 100 * number)
        limit = random.choice((None, 1, 2))
        limits = {"share": random.randint(1, 3)} | ({} if limit is None else {"max_running_jobs": limit})
        quotas.set_limits(database, tenant, limits)
    idle = [Slot(0.0, None)] * workers
    with database.begin() as session:
        seen = standings.standings(session, "any", "mine")
        mine = session.scalars(select(Job).where(Job.tenant == "mine").order_by(Job.created_at)).all()
        told = {job.id: place(seen, "mine", standings.before(session, job), idle, 1.0) for job in mine}
    assert {job_id: found.ahead for job_id, found in told.items()} == _claims_before(database, "mine", workers)


def _claims_before(database: Database, tenant: str, workers: int) -> dict[UUID, int]:
    """The number of claims before that of each job of the tenant; of running jobs the first ends first."""
    running: list[UUID] = []
    before: dict[UUID, int] = {}
    claims = 0
    while True:
        found = claim(database) if len(running) < workers else None
        if found is None and not running:
            return before
        if found is None:
            end(database, running.pop(0))
            continue
        running.append(found.job_id)
        if found.tenant == tenant:
            before[found.job_id] = claims
        claims += 1
