"""Drivers that perform the steps of flows, blocking and asyncio. They differ only in how they wait."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from service.client.flow import Aside, Body, Course, Flow, Give, Open, Pause, Send, Step, Stream, Take, with_result

T = TypeVar("T")
_PIECE: Final = 1 << 18
_TIMEOUT: Final = httpx.Timeout(connect=5, read=60, write=30, pool=5)


def connection(url: str, key: str) -> dict[str, Any]:
    """Return the constructor arguments of httpx's clients: address, headers, and timeouts."""
    headers = {"Authorization": f"Bearer {key}", "User-Agent": "dsnot-client"}
    return {"base_url": url, "headers": headers, "timeout": _TIMEOUT}


class Blocking:
    """Blocking driver."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result."""
        [result] = self.iterate(with_result(flow))
        return result

    def iterate(self, stream: Stream[T]) -> Iterator[T]:
        """Run a stream and yield its items."""
        course = Course(stream)
        with ExitStack() as bodies:
            while (step := course.step) is not None:
                if isinstance(step, Give):
                    yield step.item
                    course.go_on()
                    continue
                try:
                    answer = self._do(step, bodies)
                except Exception as error:
                    course.fail(error)
                else:
                    course.go_on(answer)

    def _do(self, step: Step, bodies: ExitStack) -> Any:
        match step:
            case Send(call):
                content = None if call.file is None else _pieces_of(call.file)
                return self._http.send(self._http.build_request(**call.request(), content=content))
            case Open(call):
                bodies.close()
                request = self._http.build_request(**call.request())
                response = self._http.send(request, stream=True, follow_redirects=True)
                bodies.callback(response.close)
                if not response.is_success:
                    response.read()
                return Body(response, response.iter_bytes())
            case Take(body):
                return next(body.pieces, None)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Aside(work):
                return work()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class Awaiting:
    """Asyncio driver; work on the disk or the CPU runs in a thread."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result."""
        [result] = [item async for item in self.iterate(with_result(flow))]
        return result

    async def iterate(self, stream: Stream[T]) -> AsyncGenerator[T, None]:
        """Run a stream and yield its items."""
        course = Course(stream)
        async with AsyncExitStack() as bodies:
            while (step := course.step) is not None:
                if isinstance(step, Give):
                    yield step.item
                    course.go_on()
                    continue
                try:
                    answer = await self._do(step, bodies)
                except Exception as error:
                    course.fail(error)
                else:
                    course.go_on(answer)

    async def _do(self, step: Step, bodies: AsyncExitStack) -> Any:
        match step:
            case Send(call):
                content = None if call.file is None else _from_thread(_pieces_of(call.file))
                return await self._http.send(self._http.build_request(**call.request(), content=content))
            case Open(call):
                await bodies.aclose()
                request = self._http.build_request(**call.request())
                response = await self._http.send(request, stream=True, follow_redirects=True)
                bodies.push_async_callback(response.aclose)
                if not response.is_success:
                    await response.aread()
                return Body(response, response.aiter_bytes())
            case Take(body):
                return await anext(body.pieces, None)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Aside(work):
                return await asyncio.to_thread(work)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _pieces_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            yield piece


async def _from_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
