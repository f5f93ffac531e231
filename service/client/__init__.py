"""The Python client: everything the HTTP API can do, typed. It imports the contract and httpx only."""

from service.client.answers import Attempt, Job, Layer, Progress
from service.client.api import DsnotClient
from service.client.errors import ApiError, ClientError, DownloadRefused, NotConfigured, StoreRefused, Unreachable
from service.client.events import Event

__all__ = [
    "ApiError",
    "Attempt",
    "ClientError",
    "DownloadRefused",
    "DsnotClient",
    "Event",
    "Job",
    "Layer",
    "NotConfigured",
    "Progress",
    "StoreRefused",
    "Unreachable",
]
