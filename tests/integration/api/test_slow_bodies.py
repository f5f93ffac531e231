"""A service under bodies that trickle and bodies that are broken goes on answering everybody else."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import client, insert_job, key_for
from tests.support.processes import answering
from tests.support.waiting import CEILING_SECONDS, eventually

TRICKLES, PAUSE_SECONDS = 200, 0.2
BYTES_EACH, BODIES_EACH = 3, 5
"""What every trickle sends, and how often every broken body is answered, while others are served."""
BROKEN = {
    "broken": (b'{"model": {"id": "a"', 400),
    "deep": (b'{"model":' * 6000 + b"1" + b"}" * 6000, 400),
    "very deep": (b"[" * 60_000, 400),
    "huge number": (b'{"model": {"id": "a"}, "priority": ' + b"9" * 60_000 + b"}", 400),
    "huge exponent": (b'{"model": {"id": "a"}, "priority": 1e999999999}', 422),
    "duplicate keys": (b'{"model": {"id": "a"}, ' + b'"model": {"id": "a"}, ' * 2500 + b'"priority": 1}', 400),
    "many names": (b'{"model": {"id": "a"}, ' + b", ".join(b'"%05d": 1' % number for number in range(5000)) + b"}", 422),
    "many labels": (b'{"model": {"id": "a"}, "labels": {' + b", ".join(b'"%05d": "x"' % n for n in range(4000)) + b"}}", 422),
}


@pytest.fixture
def served(settings: Settings, database: Database, tmp_path: Path) -> Iterator[str]:
    """The address of a service in a process of its own, which shares nothing with those who flood it."""
    with answering(settings, tmp_path, key_for(database, Scope.ADMIN)) as (_, api):
        yield str(api.base_url)


@contextmanager
def trickling(url: str, key: str) -> Iterator[list[int]]:
    """Hold `TRICKLES` connections open whose bodies arrive byte by byte; yield the number of bytes that each has sent."""
    sent, stopped = [0] * TRICKLES, threading.Event()
    host, port = url.removeprefix("http://").split(":")
    lines = ("POST /v1/jobs HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json")
    head = "\r\n".join((*lines, "Content-Length: 60000", "", ""))

    async def one(number: int) -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode())
        while not stopped.is_set():
            writer.write(b" ")
            await writer.drain()
            sent[number] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(TRICKLES)))

    thread = threading.Thread(target=asyncio.run, args=(all_of_them(),))
    thread.start()
    yield sent
    stopped.set()
    thread.join(CEILING_SECONDS)
    assert not thread.is_alive()


@contextmanager
def flooding(url: str, key: str) -> Iterator[dict[str, list[int]]]:
    """Each kind of broken body, again and again; what each was answered."""
    answers: dict[str, list[int]] = {kind: [] for kind in BROKEN}
    stopped = threading.Event()

    def send(kind: str) -> None:
        with client(url, key) as api:
            while not stopped.is_set():
                answer = api.post("/v1/jobs", content=BROKEN[kind][0], headers={"Content-Type": "application/json"})
                answers[kind].append(answer.status_code)

    threads = [threading.Thread(target=send, args=(kind,)) for kind in BROKEN]
    for thread in threads:
        thread.start()
    yield answers
    stopped.set()
    for thread in threads:
        thread.join(CEILING_SECONDS)
        assert not thread.is_alive()


def test_other_requests_are_answered_during_slow_broken_bodies(served: str, database: Database) -> None:
    for _ in range(20):
        insert_job(database)
    key = key_for(database, Scope.ADMIN)
    with trickling(served, key) as sent, flooding(served, key) as answers, client(served, key) as api:

        def are_served() -> bool:
            assert [api.get(path).status_code for path in ("/livez", "/v1/jobs")] == [200, 200]
            return min(sent) >= BYTES_EACH and min(map(len, answers.values())) >= BODIES_EACH

        eventually(are_served)
    assert {kind: set(found) for kind, found in answers.items()} == {kind: {status} for kind, (_, status) in BROKEN.items()}
