"""Both clients behind one face, so that whatever is said of the one in a test is said of the other."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from service.client import AsyncClient, Client

Answer = Callable[[httpx.Request], httpx.Response]
KINDS = ["blocking", "asynchronous"]
GROUPS = ("jobs", "models", "webhooks", "datasets", "sweeps", "triggers", "keys")


def calls_of(calls: Any) -> set[str]:
    """Names of the methods that call the service."""
    names = {name for name, _ in inspect.getmembers(type(calls), inspect.isfunction) if not name.startswith("_")}
    return names - {"close", "aclose"}


def client_on(kind: str, answer: Answer, *, url: str = "http://service", patience: float = 2) -> Client:
    """A client of this kind whose requests are answered by a function. The asynchronous one is waited for where it is called."""
    transport = httpx.MockTransport(answer)
    if kind == "blocking":
        return Client(url, "dsnot_key", patience=patience, transport=transport)
    return _Awaited(AsyncClient(url, "dsnot_key", patience=patience, transport=transport))  # type: ignore[return-value]


class _Awaited:
    """What is awaitable is awaited, what is iterated asynchronously is collected."""

    def __init__(self, calls: Any) -> None:
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._calls, name)
        return self._method(found) if callable(found) else _Awaited(found)

    def _method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            made = method(*args, **kwargs)
            if isinstance(made, AsyncIterator):
                return iter(asyncio.run(_collected(made)))
            return asyncio.run(made)

        return call


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer whose connection breaks."""

    def __init__(self, content: bytes, error: Exception) -> None:
        self._content, self._error = content, error

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise self._error
