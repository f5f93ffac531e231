"""Turns of the tenants at the workers: real claims against the database, without workers."""

from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB

from service.contract.devices import DeviceClass
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database, in_seconds
from service.database.tables.jobs import Job
from service.jobs import repository as jobs
from service.jobs.attempts.repository import Claim, claim_next
from tests.support.job_rows import SPEC


def add(
    database: Database, tenant: str, count: int, *, priority: int = 0, device: str = "any", age: float = 0, model: str = "tiny"
) -> None:
    """Insert queued jobs of a tenant."""
    spec = JobSpec.model_validate(SPEC)
    number = func.generate_series(1, count).column_valued("number")
    values = {
        "id": func.gen_random_uuid(),
        "tenant": literal(tenant),
        "state": literal(JobState.QUEUED.value),
        "spec": literal(spec.model_dump(mode="json"), JSONB),
        "model": literal(model),
        "labels": literal({}, JSONB),
        "priority": literal(priority),
        "device": literal(device),
        "max_attempts": literal(3),
        "event_seq": literal(1),
        "created_at": in_seconds(number * 0.001 - age),
        "available_at": in_seconds(-age - 10),
    }
    with database.begin() as session:
        session.execute(insert(Job).from_select(list(values), select(*values.values())))


def claim(database: Database, device: DeviceClass = DeviceClass.CPU, cached: Collection[str] = ()) -> Claim | None:
    with database.begin() as session:
        return claim_next(session, worker="w", device=device, lease_seconds=600, cached_models=cached)


def claimed_models(database: Database, count: int, cached: Collection[str]) -> list[str]:
    """The models of the next claims."""
    found = [claim(database, cached=cached) for _ in range(count)]
    with database.begin() as session:
        return [session.get_one(Job, each.job_id).model for each in found if each]


def end(database: Database, job_id: UUID) -> None:
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.SUCCEEDED, finished_at=func.now()))


def serve(database: Database, workers: int, claims: int, random: Random | None = None) -> list[str]:
    """Return the tenants of successive claims. Once all workers have a job, one of them ends before the next claim."""
    running: list[UUID] = []
    served = []
    for _ in range(claims):
        if len(running) == workers:
            end(database, running.pop(random.randrange(workers) if random else 0))
        found = claim(database)
        if found is None:
            break
        running.append(found.job_id)
        served.append(found.tenant)
    return served


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


def test_the_position_in_the_queue_counts_turns(database: Database) -> None:
    add(database, "busy", 1000, priority=9, age=3600)
    add(database, "small", 2, age=1800)
    add(database, "mine", 3)
    with database.begin() as session:
        mine = session.scalars(select(Job).where(Job.tenant == "mine").order_by(Job.created_at)).all()
        assert [jobs.ahead_of(session, job) for job in mine] == [0, 3, 6]
        assert jobs.ahead_of_new(session, tenant="fourth", priority=0, device="any") == 0


def test_a_worker_prefers_a_cached_model_to_a_job_that_waits_only_shortly(database: Database) -> None:
    for model, age, priority in (("old", 3600, 0), ("cold", 60, 0), ("warm", 30, 0), ("urgent", 1, 5)):
        add(database, "one", 1, model=model, age=age, priority=priority)
    assert claimed_models(database, 4, ["warm"]) == ["urgent", "old", "warm", "cold"]


def test_a_worker_without_cached_models_serves_by_age(database: Database) -> None:
    for model, age in (("old", 3600), ("cold", 60), ("warm", 30)):
        add(database, "one", 1, model=model, age=age)
    assert claimed_models(database, 3, []) == ["old", "cold", "warm"]


def test_a_cached_model_does_not_change_the_turns_of_tenants(database: Database) -> None:
    add(database, "busy", 3, model="warm", age=60)
    add(database, "other", 1, model="cold")
    assert claimed_models(database, 2, ["warm"]) == ["warm", "cold"]


def test_concurrent_claims_with_cached_models_take_every_job_once(database: Database) -> None:
    for model in ("warm", "cold"):
        add(database, "one", 15, model=model)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: claim(database, cached=["warm"]), range(30)))
    assert len({each.job_id for each in found if each}) == 30
