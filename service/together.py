"""The work of many callers in one go, as databases commit in groups: what is asked for while a batch is at work is the next one.

Whoever is alone waits for nobody. Of many, each waits for one batch more, and they share messages to the database, commits and,
what counts most, changes of thread: threads that fight for the interpreter cost several times the work that they do.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Final, Generic, TypeVar

from service.database import TRANSIENT

_MOST: Final = 50
_THREADS: Final = 4
_PATIENCE_SECONDS: Final = 0.1
"""After which a batch, which may wait for a lock, does not keep the next one waiting."""

Item = TypeVar("Item")
Result = TypeVar("Result")
_Batch = list[tuple[Item, asyncio.Future[Result]]]


class Together(Generic[Item, Result]):
    """One kind of work.

    Args:
        work: takes a batch in a thread; gives for each of it, in its order, what came of it, or an exception for its caller. What
            it raises all of the batch hear; unless that is the database's absence, each is first tried alone.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._work = work
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._threads = ThreadPoolExecutor(_THREADS)
        self._working_off: asyncio.Task[None] | None = None
        self._at_work: set[asyncio.Task[None]] = set()

    async def do(self, item: Item) -> Result:
        """What came of it."""
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._working_off is None or self._working_off.done():
            self._working_off = asyncio.create_task(self._work_off(), context=Context())  # that of no request
        return await outcome

    def close(self) -> None:
        self._threads.shutdown()

    async def _work_off(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST))]
            self._at_work.add(asyncio.create_task(self._do(batch)))
            patience = _PATIENCE_SECONDS if len(self._at_work) < _THREADS else None
            _, self._at_work = await asyncio.wait(self._at_work, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    async def _do(self, batch: _Batch[Item, Result]) -> None:
        outcomes: Sequence[Result | Exception]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._threads, self._work, [item for item, _ in batch])
        except TRANSIENT as error:
            batch += self._waiting  # who waits would wait as long again
            self._waiting.clear()
            outcomes = [error] * len(batch)
        except Exception as error:
            if len(batch) > 1:
                for each in batch:
                    await self._do([each])
                return
            outcomes = [error]
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():  # its caller has left
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
