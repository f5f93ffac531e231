# generated from aio/ by `make client`; do not edit
"""Blocking client: every call of the HTTP API as a method.

client = Client()  # of DSNOT_URL and DSNOT_API_KEY, else of `dsnot login`, else the stack of this home
job = client.jobs.create(model="meta-llama/Llama-3.1-8B", sparsity=0.5, preset="balanced")
job.wait()
job.download("pruned")
"""

from types import TracebackType
from typing import Self

import httpx

from service.client import discovery
from service.client.blocking.access import AccessCalls, KeyCalls
from service.client.blocking.catalogue import CatalogueCalls, ModelCalls
from service.client.blocking.datasets import DatasetCalls
from service.client.blocking.http import Http
from service.client.blocking.jobs import JobCalls
from service.client.blocking.sweeps import SweepCalls
from service.client.blocking.triggers import TriggerCalls
from service.client.blocking.webhooks import WebhookCalls


class Client(CatalogueCalls, AccessCalls):
    """Blocking client of the service. Each call raises a ClientError: ApiError for a problem, Unreachable, UnexpectedResponse."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`patience`: seconds for which calls are retried while the service is unavailable or limits the rate."""
        url, key = discovery.address(url, key)
        http = Http(url, key, patience, transport)
        super().__init__(http)
        self.jobs = JobCalls(http)
        self.models = ModelCalls(http)
        self.webhooks = WebhookCalls(http)
        self.datasets = DatasetCalls(http)
        self.sweeps = SweepCalls(http)
        self.triggers = TriggerCalls(http)
        self.keys = KeyCalls(http)

    @property
    def url(self) -> str:
        """Base URL of the service."""
        return self._http.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
