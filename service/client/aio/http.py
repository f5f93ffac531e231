"""Requests to the service: retries, problems as exceptions, pagination, streamed bodies."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import httpx

from service.client.discovery import proxied
from service.client.errors import StoreRefused, Unreachable, parsed, problem_in
from service.client.frames import frame, row_of
from service.client.patience import Repeat, RetryBudget, Trouble
from service.client.request import PIECE_BYTES, TIMEOUT, Query, headers_of, items_of

T = TypeVar("T")


class AsyncListing(Generic[T]):
    """Items of a list, fetched page by page while they are iterated."""

    def __init__(self, items: AsyncGenerator[T]) -> None:
        self._items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self._items.__anext__()

    async def to_pandas(self) -> Any:
        """Return all items as a pandas.DataFrame. Raises NotInstalled: pandas is missing."""
        return frame([row_of(item) async for item in self])


class AsyncHttp:
    """Connections to the service, with its URL and the API key."""

    def __init__(self, url: str, key: str, patience: float, transport: httpx.AsyncBaseTransport | None) -> None:
        self.url = url
        self.patience = patience
        """Seconds for which to retry."""
        with proxied():
            self._client = httpx.AsyncClient(base_url=url, headers=headers_of(key), timeout=TIMEOUT, transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        file: Path | None = None,
        repeat: Repeat = Repeat.ALWAYS,
        timeout: float | None = None,
    ) -> httpx.Response:
        """Send a request, with retries, and return its response.

        `body` is sent as JSON; `file` is streamed instead. `timeout`: seconds for the response, None for the default.
        """
        patience = RetryBudget(self.patience)
        while True:
            try:
                response = await self._client.request(
                    method,
                    path,
                    params=query or None,
                    headers={**(headers or {}), **({"Content-Length": str(file.stat().st_size)} if file else {})},
                    json=body,
                    content=_pieces_of(file) if file else None,
                    timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
                )
                if response.is_success:
                    return response
                trouble: Trouble = problem_in(response)
            except httpx.RequestError as error:
                trouble = Unreachable(self.url, error)
            await asyncio.sleep(patience.pause_after(trouble, repeat))

    async def fetch(
        self,
        read: Callable[[Any], T],
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        file: Path | None = None,
        repeat: Repeat = Repeat.ALWAYS,
    ) -> T:
        """Send a request, with retries, and return what `read` makes of the JSON response."""
        response = await self.send(method, path, query=query, headers=headers, body=body, file=file, repeat=repeat)
        return parsed(response, lambda: read(response.json()))

    def items(self, read: Callable[[Any], T], path: str, query: Query | None = None) -> AsyncListing[T]:
        """Return the items of a list; pages are fetched as needed."""
        return AsyncListing(self._items(read, path, query))

    async def _items(self, read: Callable[[Any], T], path: str, query: Query | None) -> AsyncGenerator[T]:
        query = dict(query or {})
        while True:
            response = await self.send("GET", path, query=query)
            items, cursor = parsed(response, partial(items_of, response))
            for item in items:
                yield parsed(response, partial(read, item))
            if cursor is None:
                return
            query["cursor"] = cursor

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str], query: Query | None = None) -> AsyncGenerator[httpx.Response]:
        """Open a response with an unread body; no retries. Follows redirects, without the API key.

        Raises:
            StoreRefused: the service redirected to an address that answered with an error; a new request may get another address.
        """
        response = await self._client.send(
            self._client.build_request("GET", path, params=query or None, headers=dict(headers)), stream=True
        )
        redirect = response.next_request
        if redirect is not None:
            await response.aclose()
            redirect.headers.pop("Authorization", None)  # kept on the same origin, where a store may be as well
            response = await self._client.send(redirect, stream=True, follow_redirects=True)
        try:
            if not response.is_success:
                await response.aread()
                raise StoreRefused(response.status_code) if redirect else problem_in(response)
            yield response
        finally:
            await response.aclose()


class AsyncCalls:
    """Base class of the groups of calls."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http


async def _pieces_of(file: Path) -> AsyncGenerator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as content:
        while piece := await asyncio.to_thread(content.read, PIECE_BYTES):
            yield piece
