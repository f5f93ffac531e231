"""Blocking and asyncio client: every call of the HTTP API as a method of both.

client = Client()                                    # DSNOT_URL and DSNOT_API_KEY, or the stack of this home
job = client.create_job({"model": {"id": "meta-llama/Llama-3.1-8B"}})
job = client.wait(job.id)
client.download(job.id, Path("pruned"))

AsyncClient has the same methods as coroutines; iterators become `async for`.
"""

from types import TracebackType
from typing import Generic, Self

import httpx

from service.client import discovery
from service.client.access import AccessCalls, KeyCalls
from service.client.catalogue import CatalogueCalls
from service.client.datasets import DatasetCalls
from service.client.drivers import Awaiting, Blocking, connection
from service.client.flow import Terms
from service.client.jobs import JobCalls
from service.client.methods import Driver
from service.client.triggers import TriggerCalls
from service.client.webhooks import WebhookCalls


class AllCalls(JobCalls[Driver], CatalogueCalls[Driver], AccessCalls[Driver], Generic[Driver]):
    """All calls. Each raises ApiError, or its subclass for the problem's type, or Unreachable."""

    def __init__(self, driver: Driver, terms: Terms) -> None:
        super().__init__(driver, terms)
        self.webhooks = WebhookCalls(driver, terms)
        self.datasets = DatasetCalls(driver, terms)
        self.triggers = TriggerCalls(driver, terms)
        self.keys = KeyCalls(driver, terms)

    @property
    def url(self) -> str:
        """Base URL of the service."""
        return self._terms.url


class Client(AllCalls[Blocking]):
    """Blocking client of the service."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`patience`: seconds for which calls are retried while the service is unavailable or limits the rate."""
        url, key = _place(url, key)
        http = httpx.Client(**connection(url, key), transport=transport)
        super().__init__(Blocking(http), Terms(url, patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()


class AsyncClient(AllCalls[Awaiting]):
    """Asyncio client of the service."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`patience`: seconds for which calls are retried while the service is unavailable or limits the rate."""
        url, key = _place(url, key)
        http = httpx.AsyncClient(**connection(url, key), transport=transport)
        super().__init__(Awaiting(http), Terms(url, patience))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._driver.close()


def _place(url: str | None, key: str | None) -> tuple[str, str]:
    if url is None or key is None:
        known_url, known_key = discovery.address()
        url, key = url or known_url, key or known_key
    return url.rstrip("/"), key
