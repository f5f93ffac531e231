"""Asyncio client: every call of the HTTP API as a method.

client = AsyncClient()  # of DSNOT_URL and DSNOT_API_KEY, else of `dsnot login`, else the stack of this home
job = await client.jobs.create(model="meta-llama/Llama-3.1-8B", sparsity=0.5, preset="balanced")
await job.wait()
await job.download("pruned")
"""

from types import TracebackType
from typing import Self

import httpx

from service.client import discovery
from service.client.aio.access import AsyncAccessCalls, AsyncKeyCalls
from service.client.aio.catalogue import AsyncCatalogueCalls, AsyncModelCalls
from service.client.aio.datasets import AsyncDatasetCalls
from service.client.aio.http import AsyncHttp
from service.client.aio.jobs import AsyncJobCalls
from service.client.aio.sweeps import AsyncSweepCalls
from service.client.aio.triggers import AsyncTriggerCalls
from service.client.aio.webhooks import AsyncWebhookCalls


class AsyncClient(AsyncCatalogueCalls, AsyncAccessCalls):
    """Asyncio client of the service. Each call raises a ClientError: ApiError for a problem, Unreachable, UnexpectedResponse."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`patience`: seconds for which calls are retried while the service is unavailable or limits the rate."""
        url, key = discovery.address(url, key)
        http = AsyncHttp(url, key, patience, transport)
        super().__init__(http)
        self.jobs = AsyncJobCalls(http)
        self.models = AsyncModelCalls(http)
        self.webhooks = AsyncWebhookCalls(http)
        self.datasets = AsyncDatasetCalls(http)
        self.sweeps = AsyncSweepCalls(http)
        self.triggers = AsyncTriggerCalls(http)
        self.keys = AsyncKeyCalls(http)

    @property
    def url(self) -> str:
        """Base URL of the service."""
        return self._http.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
