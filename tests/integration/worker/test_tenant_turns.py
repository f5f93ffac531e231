"""Turns of the tenants at the workers: real claims against the database, without workers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.tenants.quotas import operations as quotas
from tests.support.tenant_queues import add, claim, end, end_all, serve


def test_a_thousand_jobs_of_one_tenant_do_not_delay_the_first_of_another(database: Database) -> None:
    add(database, "busy", 1000, priority=9, age=3600)
    assert serve(database, 2, 6) == ["busy"] * 6
    add(database, "new", 3)
    assert [each.tenant for _ in range(2) if (each := claim(database))] == ["new", "new"]


@pytest.mark.parametrize("workers", [1, 3])
def test_tenants_with_long_queues_get_equal_shares(database: Database, workers: int) -> None:
    for number, count in enumerate((400, 100, 50)):
        add(database, f"tenant {number}", count, age=100.0 - number)
    shares = Counter(serve(database, workers, 30))
    assert max(shares.values()) - min(shares.values()) <= 1


def test_fifty_tenants_wait_no_longer_than_one_round(database: Database) -> None:
    random = Random(0)
    for number in range(50):
        add(database, f"tenant {number:02}", random.randint(4, 60), priority=random.randint(0, 9), age=random.uniform(0, 1000))
    served = serve(database, 8, 110, random)
    for tenant in set(served):
        turns = [place for place, each in enumerate(served) if each == tenant]
        waits = [later - earlier for earlier, later in zip([-1, *turns], turns, strict=False)]
        assert max(waits) <= 50 + 2 * 8, (tenant, turns)
    assert len(set(served[:50])) == 50


def test_priority_orders_the_jobs_of_one_tenant_only(database: Database) -> None:
    add(database, "a", 2, priority=0, age=50)
    add(database, "a", 1, priority=9)
    add(database, "b", 1, priority=1)
    found = [claim(database) for _ in range(4)]
    with database.begin() as session:
        order = [(each.tenant, session.get_one(Job, each.job_id).priority) for each in found if each]
    assert order == [("a", 9), ("b", 1), ("a", 0), ("a", 0)]


def test_a_tenant_without_a_job_for_the_device_is_passed_over(database: Database) -> None:
    add(database, "gpu only", 5, device="gpu", age=100)
    add(database, "other", 1)
    first, second = claim(database), claim(database)
    assert first is not None
    assert (first.tenant, second) == ("other", None)
    assert claim(database, DeviceClass.GPU) is not None


def test_turns_follow_the_shares_at_a_single_worker(database: Database) -> None:
    for tenant, share in (("three", 3), ("two", 2), ("one", 1)):
        add(database, tenant, 40)
        quotas.set_limits(database, tenant, {"share": share})
    served = serve(database, 1, 36)
    assert Counter(served) == {"three": 18, "two": 12, "one": 6}
    assert all(max(served[start : start + 6].count(each) for start in range(31)) <= most + 1 for each, most in SHARES.items())


SHARES = {"three": 3, "two": 2, "one": 1}


def test_running_jobs_follow_the_shares_at_many_workers(database: Database) -> None:
    for tenant, share in SHARES.items():
        add(database, tenant, 40)
        quotas.set_limits(database, tenant, {"share": share})
    served = serve(database, 12, 60, Random(1))
    assert Counter(served[:12]) == {"three": 6, "two": 4, "one": 2}


def test_a_tenant_saves_up_no_turns_while_it_has_no_job(database: Database) -> None:
    add(database, "idle", 1)
    add(database, "busy", 50)
    assert Counter(serve(database, 1, 21))["busy"] == 20
    end_all(database)
    add(database, "idle", 20)
    assert Counter(serve(database, 1, 10)) == {"idle": 5, "busy": 5}


def test_of_tenants_in_the_same_turn_that_of_the_oldest_job_is_next(database: Database) -> None:
    for tenant, age in (("young", 1), ("old", 30), ("middle", 10)):
        add(database, tenant, 1, age=age)
    assert serve(database, 3, 3) == ["old", "middle", "young"]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shares=st.lists(st.integers(1, 5), min_size=2, max_size=6),
    limited=st.sets(st.integers(0, 5)),
    workers=st.integers(1, 5),
    seed=st.integers(0, 2**16),
)
def test_no_tenant_starves(database: Database, shares: list[int], limited: set[int], workers: int, seed: int) -> None:
    """A tenant without a running job waits for its share of the others' turns at most, however long any job runs."""
    with database.begin() as session:
        session.execute(delete(Job))
    random = Random(seed)
    for number, share in enumerate(shares):
        tenant = f"tenant {number}"
        add(database, tenant, random.randint(1, 15), priority=random.randint(0, 9), age=random.uniform(0, 1000))
        quotas.set_limits(database, tenant, {"share": share, "max_running_jobs": 1 if number in limited else 5})
    left = Counter(found.tenant for found in _queued(database))
    running: list[tuple[str, UUID]] = []
    waited = Counter[str]()
    while left.total():
        if len(running) == workers:
            end(database, running.pop(random.randrange(workers))[1])
        found = claim(database)
        if found is None:  # all tenants with queued jobs are at their limits
            end(database, running.pop(random.randrange(len(running)))[1])
            continue
        running.append((found.tenant, found.job_id))
        left[found.tenant] -= 1
        for number, share in enumerate(shares):
            tenant = f"tenant {number}"
            is_waiting = left[tenant] and tenant not in {name for name, _ in running}
            waited[tenant] = waited[tenant] + 1 if is_waiting else 0
            others = shares[:number] + shares[number + 1 :]
            assert waited[tenant] <= sum(ceil(other / share) + 2 for other in others), (tenant, shares)


def _queued(database: Database) -> list[Job]:
    with database.begin() as session:
        return list(session.query(Job))


def test_concurrent_claims_of_limited_and_other_tenants_take_every_job_once(database: Database) -> None:
    for number in range(4):
        add(database, f"tenant {number}", 10)
    for number in range(2):
        quotas.set_limits(database, f"tenant {number}", {"max_running_jobs": 10})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claim(database), range(40)))
    assert len({each.job_id for each in found if each}) == 40
