"""Preference of workers for jobs whose model is in their cache: real claims against the database."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

from sqlalchemy import Interval, func, select, type_coerce

from service.contract.model_spec import cache_key
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.jobs.attempts.next_job import PATIENCE_SECONDS, WINDOW
from tests.support.tenant_queues import REVISION, add, claim

WARM = [cache_key("hub", "warm", REVISION)]


def claimed_models(database: Database, count: int, cached: Collection[str]) -> list[str]:
    """The models of the next claims."""
    found = [claim(database, cached=cached) for _ in range(count)]
    with database.begin() as session:
        return [session.get_one(Job, each.job_id).model for each in found if each]


def test_a_worker_prefers_a_cached_model_to_a_job_that_waits_only_shortly(database: Database) -> None:
    for model, age, priority in (("old", 3600, 0), ("cold", 60, 0), ("warm", 30, 0), ("urgent", 1, 5)):
        add(database, "one", 1, model=model, age=age, priority=priority)
    assert claimed_models(database, 4, WARM) == ["urgent", "old", "warm", "cold"]


def test_a_worker_without_cached_models_serves_by_age(database: Database) -> None:
    for model, age in (("old", 3600), ("cold", 60), ("warm", 30)):
        add(database, "one", 1, model=model, age=age)
    assert claimed_models(database, 3, []) == ["old", "cold", "warm"]


def test_the_same_name_of_another_source_or_revision_is_no_cached_model(database: Database) -> None:
    for model, age in (("cold", 60), ("warm", 30)):
        add(database, "one", 1, model=model, age=age)
    others = [cache_key("local", "warm", REVISION), cache_key("hub", "warm", "1" * 40)]
    assert claimed_models(database, 2, others) == ["cold", "warm"]


def test_a_cached_model_does_not_change_the_turns_of_tenants(database: Database) -> None:
    add(database, "busy", 3, model="warm", age=60)
    add(database, "other", 1, model="cold")
    assert claimed_models(database, 2, WARM) == ["warm", "cold"]


def test_concurrent_claims_with_cached_models_take_every_job_once(database: Database) -> None:
    for model in ("warm", "cold"):
        add(database, "one", 15, model=model)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: claim(database, cached=WARM), range(30)))
    assert len({each.job_id for each in found if each}) == 30


def test_a_preference_passes_over_no_job_that_has_waited_for_long_nor_looks_far(database: Database) -> None:
    """For every claim of random queues: by age alone once jobs have waited, else among the first in the queue."""
    random = Random(0)
    for _ in range(40):
        age = random.choice((1, 300, PATIENCE_SECONDS - 100, PATIENCE_SECONDS + 100, 3600))
        model = random.choice(("warm", "cold"))
        add(database, "one", 2, model=model, age=age + random.random(), priority=random.choice((0, 0, 5)))
    is_preferred = 0
    while queue := _queue(database):
        found = claim(database, cached=WARM)
        assert found is not None
        place = [job.id for job, _ in queue].index(found.job_id)
        passed_over = queue[:place]
        assert place < WINDOW
        assert all(job.priority == queue[place][0].priority for job, _ in passed_over)
        assert all(waited < timedelta(seconds=PATIENCE_SECONDS) for _, waited in passed_over)
        assert not passed_over or queue[place][0].model == "warm"
        is_preferred += bool(passed_over)
    assert is_preferred


def _queue(database: Database) -> list[tuple[Job, timedelta]]:
    """The queued jobs in the order without a preference, and how long each has waited."""
    statement = select(Job, type_coerce(func.now() - Job.created_at, Interval)).where(Job.state == "queued")
    with database.begin() as session:
        return [(job, waited) for job, waited in session.execute(statement.order_by(Job.priority.desc(), Job.created_at, Job.id))]
