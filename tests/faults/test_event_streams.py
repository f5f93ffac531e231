"""Clients that follow a job while the service that they are connected to is killed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from service.client import Client
from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.api_server import insert_job, key_for, set_job
from tests.support.servers import Api, stopping
from tests.support.waiting import CEILING_SECONDS, eventually

CLIENTS = 50
EVENTS = 60
KILLS = 2


def write(database: Database, job_id: UUID, count: int) -> None:
    for number in range(count):
        with database.begin() as session:
            events.append(session, job_id, EventType.BLOCK_PRUNED, {"block": number})


def test_fifty_streams_lose_and_repeat_nothing_after_kills(settings: Settings, database: Database, tmp_path: Path) -> None:
    key = key_for(database, Scope.ADMIN)
    job_id = insert_job(database, state=JobState.RUNNING)
    api = Api(settings, tmp_path)
    seen: list[list[int]] = [[] for _ in range(CLIENTS)]

    def follow(mine: list[int]) -> None:
        with Client(api.url, key, patience=60) as client:
            mine.extend(event.seq for event in client.jobs.events(str(job_id)))

    with stopping(api), ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(follow, mine) for mine in seen]
        for _ in range(KILLS):
            write(database, job_id, EVENTS // (KILLS + 1))
            eventually(lambda: all(seen))
            api.kill()
            write(database, job_id, 5)
            api.start()
        write(database, job_id, EVENTS // (KILLS + 1))
        with database.begin() as session:
            last = events.append(session, job_id, EventType.SUCCEEDED)
        set_job(database, job_id, state=JobState.SUCCEEDED)
        for future in running:
            future.result(CEILING_SECONDS)
    assert all(mine == list(range(1, last + 1)) for mine in seen)
