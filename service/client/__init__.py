"""Typed Python client for the whole HTTP API. It imports the contract and httpx only."""

from service.client.access import AuditEntry, Key, Quota, SignInLink
from service.client.aio.client import AsyncClient
from service.client.aio.jobs import AsyncJob
from service.client.answers import Attempt, Layer, LocalModel, ModelInfo, Plan, Progress, StageProgress, Worker
from service.client.blocking.client import Client
from service.client.blocking.jobs import Job
from service.client.comparing import Comparison
from service.client.datasets import Dataset
from service.client.errors import (
    ApiError,
    BodyRefused,
    ClientError,
    Conflict,
    DownloadRefused,
    Forbidden,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InternalError,
    InvalidInput,
    InvalidOption,
    ModelRefused,
    NotConfigured,
    NotFound,
    NotInstalled,
    NotMeasured,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    ServiceUnavailable,
    StoreRefused,
    Unauthenticated,
    UnexpectedResponse,
    Unreachable,
)
from service.client.events import Event
from service.client.job_options import JobOptions
from service.client.logs import LogLine
from service.client.measured import Metrics
from service.client.sweeps import Sweep, SweepDetail, SweepPlan
from service.client.triggers import Firing, Trigger
from service.client.webhooks import Delivery, Webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Attempt",
    "AuditEntry",
    "BodyRefused",
    "Client",
    "ClientError",
    "Comparison",
    "Conflict",
    "Dataset",
    "Delivery",
    "DownloadRefused",
    "Event",
    "Firing",
    "Forbidden",
    "IdempotencyInFlight",
    "IdempotencyKeyReused",
    "InternalError",
    "InvalidInput",
    "InvalidOption",
    "Job",
    "JobOptions",
    "Key",
    "Layer",
    "LocalModel",
    "LogLine",
    "Metrics",
    "ModelInfo",
    "ModelRefused",
    "NotConfigured",
    "NotFound",
    "NotInstalled",
    "NotMeasured",
    "Plan",
    "PreconditionFailed",
    "Progress",
    "Quota",
    "QuotaExceeded",
    "RateLimited",
    "ServiceUnavailable",
    "SignInLink",
    "StageProgress",
    "StoreRefused",
    "Sweep",
    "SweepDetail",
    "SweepPlan",
    "Trigger",
    "Unauthenticated",
    "UnexpectedResponse",
    "Unreachable",
    "Webhook",
    "Worker",
]
