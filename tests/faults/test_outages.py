"""Broker and database that go away for a while, while jobs are created and worked on."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import redis

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import client, key_for, serving
from tests.support.job_rows import attempts_of, event_types, job_row
from tests.support.long_jobs import (
    LEASE_SECONDS,
    assert_at_most_one_block_was_lost_each_time,
    insert_long_job,
    save_slow_model,
    wait_until_it_prunes,
    wait_until_it_succeeds,
)
from tests.support.processes import dispatching, working
from tests.support.servers import Api, Postgres, Valkey, at, stopping
from tests.support.size import sized
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually

TINY = {
    "model": {"source": "local", "id": "tiny"},
    "recipe": {"criterion": "magnitude", "refinement": {"method": "none"}},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 1, "sequence_length": 16},
    "evaluation": {"perplexity": [], "sequence_length": 16},
}
RESTARTS = sized(2, 12)
SECONDS_BETWEEN_RESTARTS = sized((0.5, 1.5), (5, 20))
JOBS = sized(8, 50)
SENT_MEANWHILE = sized(2, 10)
OUTAGE_SECONDS = sized(4.0, 30.0)


@pytest.fixture
def own_database(settings: Settings, tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "own")
    with stopping(server):
        yield server


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "own-broker")
    with stopping(server):
        yield server


def finished_once(database: Database, job_id: UUID) -> bool:
    return event_types(database, job_id).count("succeeded") == 1


@pytest.mark.timeout(1800)  # each job has a process that imports torch
def test_jobs_survive_a_broker_that_is_emptied_and_killed(
    settings: Settings, database: Database, own_broker: Valkey, tmp_path: Path
) -> None:
    save_model(settings.model_root / "tiny")
    own = at(settings, broker_url=own_broker.url)
    with (
        serving(own) as url,
        client(url, key_for(database, Scope.ADMIN)) as api,
        dispatching(own, tmp_path),
        working(own, tmp_path, "first"),
        working(own, tmp_path, "second"),
    ):
        jobs = [UUID(api.post("/v1/jobs", json=TINY).json()["id"]) for _ in range(JOBS - SENT_MEANWHILE)]
        eventually(lambda: redis.Redis.from_url(own_broker.url).llen("dsnot") >= 2)
        redis.Redis.from_url(own_broker.url).flushall()
        own_broker.kill()
        died = time.monotonic()
        while len(jobs) < JOBS:
            answer = api.post("/v1/jobs", json=TINY)
            assert answer.status_code == 201, "a job is accepted without a broker"
            jobs.append(UUID(answer.json()["id"]))
        time.sleep(max(0, died + OUTAGE_SECONDS - time.monotonic()))
        own_broker.start()
        for job_id in jobs:
            eventually(lambda: job_row(database, job_id).finished_at)  # noqa: B023
    assert all(finished_once(database, job_id) for job_id in jobs)
    assert all(len(attempts_of(database, job_id)) == 1 for job_id in jobs)


class Load:
    """Creates jobs and reads them, again and again, and notes what is answered."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self.accepted: list[str] = []
        self.refused: list[httpx.Response] = []
        self.lost: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(CEILING_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with client(self._url, self._key) as api:
            while not self._stop.wait(0.05):
                self._note(api.post("/v1/jobs", json=TINY), created=True)
                if self.accepted:
                    self._note(api.get(f"/v1/jobs/{random.choice(self.accepted)}"), created=False)

    def _note(self, answer: httpx.Response, *, created: bool) -> None:
        if not answer.is_success:
            self.refused.append(answer)
        elif created:
            self.accepted.append(answer.json()["id"])


@pytest.mark.timeout(1800)
def test_no_accepted_job_is_lost_while_the_database_restarts(
    settings: Settings, own_database: Postgres, own_broker: Valkey, tmp_path: Path
) -> None:
    save_model(settings.model_root / "tiny")
    own = at(settings, database_url=own_database.url, broker_url=own_broker.url)
    own = own.model_copy(update={"max_queued_jobs": 100_000, "lease_seconds": LEASE_SECONDS})
    database = Database(own_database.url)
    choices = random.Random(5)
    api = Api(own, tmp_path)
    with stopping(api), dispatching(own, tmp_path), working(own, tmp_path):
        load = Load(api.url, key_for(database, Scope.ADMIN))
        for _ in range(RESTARTS):
            accepted = len(load.accepted)
            time.sleep(choices.uniform(*SECONDS_BETWEEN_RESTARTS))
            eventually(lambda: len(load.accepted) > accepted)  # noqa: B023
            own_database.restart()
        load.stop()
        done = eventually(lambda: [job_id for job_id in load.accepted if job_row(database, UUID(job_id)).finished_at])
    assert {answer.status_code for answer in load.refused} <= {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in load.refused)
    states = {job_id: job_row(database, UUID(job_id)).state for job_id in load.accepted}  # every one of them is there
    assert set(states.values()) <= {JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED}
    assert all(finished_once(database, UUID(job_id)) for job_id in done)
    database.close()


def test_a_worker_without_database_for_a_lease_stops(settings: Settings, own_database: Postgres, tmp_path: Path) -> None:
    save_slow_model(settings)
    own = at(settings, database_url=own_database.url).model_copy(update={"lease_seconds": LEASE_SECONDS})
    database = Database(own_database.url)
    with dispatching(own, tmp_path), working(own, tmp_path) as worker:
        job_id = insert_long_job(database)
        wait_until_it_prunes(database, job_id)
        child = worker.child()
        own_database.stop()
        eventually(lambda: not child.is_running() or "run_interrupted" in worker.log.read_text())
        own_database.start()
        wait_until_it_succeeds(database, job_id)
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["lease_expired", "succeeded"]
    assert_at_most_one_block_was_lost_each_time(database, job_id)
    database.close()
