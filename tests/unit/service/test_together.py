"""Many callers' work in batches: everybody gets what is theirs, and nobody suffers for another."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from sqlalchemy.exc import OperationalError

from service import together
from service.together import Together
from tests.support.waiting import CEILING_SECONDS

Working = Callable[[Sequence[int | Exception]], Sequence[int | Exception]]
AWAY = OperationalError("", None, Exception())


class Work:
    """Doubles numbers and raises what it is given; holds each batch back until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int | Exception]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, batch: Sequence[int | Exception]) -> list[int | Exception]:
        self.batches.append(list(batch))
        self.begun.set()
        assert self.go.wait(CEILING_SECONDS)
        return [each if isinstance(each, Exception) else 2 * each for each in batch]


@contextmanager
def opened(work: Working) -> "Iterator[Together[int | Exception, int]]":
    doing: Together[int | Exception, int] = Together(work)
    yield doing
    doing.close()


def run(work: Working, *items: int | Exception) -> list[int | BaseException]:
    """What comes of items that arrive together."""

    async def arrive() -> list[int | BaseException]:
        with opened(work) as doing:
            return await asyncio.gather(*map(doing.do, items), return_exceptions=True)

    return asyncio.run(arrive())


async def until(happened: threading.Event) -> None:
    assert await asyncio.to_thread(happened.wait, CEILING_SECONDS)


def test_what_arrives_together_is_done_in_one_batch_and_each_gets_its_own() -> None:
    work = Work()
    assert run(work, 1, 2, 3) == [2, 4, 6]
    assert work.batches == [[1, 2, 3]]


def test_a_refusal_is_its_callers_alone() -> None:
    refused = ValueError("two")
    assert run(Work(), 1, refused, 3) == [2, refused, 6]


def test_what_arrives_while_a_batch_is_at_work_is_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE_SECONDS", 10)
    work = Work()
    work.go.clear()

    async def arrive() -> list[int]:
        with opened(work) as doing:
            first = asyncio.create_task(doing.do(1))
            await until(work.begun)
            others = [asyncio.create_task(doing.do(number)) for number in (2, 3)]
            await asyncio.sleep(0)
            work.go.set()
            return await asyncio.gather(first, *others)

    assert asyncio.run(arrive()) == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


def test_a_batch_is_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_MOST", 2)
    work = Work()
    assert run(work, 1, 2, 3) == [2, 4, 6]
    assert work.batches == [[1, 2], [3]]


def test_a_batch_that_takes_long_does_not_keep_the_next_one_waiting() -> None:
    begun, release = threading.Event(), threading.Event()

    def work(batch: Sequence[int | Exception]) -> list[int | Exception]:
        if batch == [1]:
            begun.set()
            assert release.wait(CEILING_SECONDS)
        return list(batch)

    async def arrive() -> int:
        with opened(work) as doing:
            first = asyncio.create_task(doing.do(1))
            await until(begun)
            second = await asyncio.wait_for(doing.do(2), CEILING_SECONDS)
            assert not first.done()
            release.set()
            return second + await first

    assert asyncio.run(arrive()) == 3


def test_who_breaks_a_batch_breaks_it_for_nobody_else() -> None:
    def work(batch: Sequence[int | Exception]) -> list[int | Exception]:
        for each in batch:
            if isinstance(each, Exception):
                raise each
        return list(batch)

    broken = ZeroDivisionError()
    assert run(work, 1, broken, 3) == [1, broken, 3]


def test_that_the_database_is_away_all_hear_at_once_and_the_next_may_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE_SECONDS", 10)
    calls: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def work(batch: Sequence[int | Exception]) -> list[int | Exception]:
        calls.append(len(batch))
        begun.set()
        assert go.wait(CEILING_SECONDS)
        if len(calls) == 1:
            raise AWAY
        return list(batch)

    async def arrive() -> None:
        with opened(work) as doing:
            first = asyncio.create_task(doing.do(1))
            await until(begun)
            waiting = [asyncio.create_task(doing.do(number)) for number in (2, 3)]
            await asyncio.sleep(0)
            go.set()
            assert await asyncio.gather(first, *waiting, return_exceptions=True) == [AWAY] * 3
            assert await doing.do(4) == 4

    asyncio.run(arrive())
    assert calls == [1, 1]


def test_a_caller_who_leaves_does_not_disturb_the_others() -> None:
    work = Work()
    work.go.clear()

    async def arrive() -> int:
        with opened(work) as doing:
            leaving, staying = asyncio.create_task(doing.do(1)), asyncio.create_task(doing.do(2))
            await until(work.begun)
            leaving.cancel()
            work.go.set()
            return await staying

    assert asyncio.run(arrive()) == 4


def test_no_request_is_taken_for_the_one_that_all_work_is_done_for() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: list[str] = []

    def work(batch: Sequence[int | Exception]) -> list[int | Exception]:
        seen.append(request.get())
        return list(batch)

    async def arrive() -> None:
        with opened(work) as doing:
            request.set("first")
            await doing.do(1)

    asyncio.run(arrive())
    assert seen == ["none"]
