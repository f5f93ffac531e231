# generated from aio/ by `make client`; do not edit
"""Blocking client: every call of the HTTP API as a method.

client = Client()                               # DSNOT_URL and DSNOT_API_KEY, or the stack of this home
job = client.create_job({"model": {"id": "meta-llama/Llama-3.1-8B"}})
job = client.wait(job.id)
client.download(job.id, Path("pruned"))
"""

from types import TracebackType
from typing import Self

import httpx

from service.client import discovery
from service.client.blocking.access import AccessCalls, KeyCalls
from service.client.blocking.catalogue import CatalogueCalls
from service.client.blocking.datasets import DatasetCalls
from service.client.blocking.download import ArtifactCalls
from service.client.blocking.events import EventCalls
from service.client.blocking.http import Http
from service.client.blocking.jobs import JobCalls
from service.client.blocking.logs import LogCalls
from service.client.blocking.sweeps import SweepCalls
from service.client.blocking.triggers import TriggerCalls
from service.client.blocking.webhooks import WebhookCalls


class Client(JobCalls, EventCalls, LogCalls, ArtifactCalls, CatalogueCalls, AccessCalls):
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
