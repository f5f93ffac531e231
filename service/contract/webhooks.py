"""What webhooks can be told of."""

from enum import StrEnum
from typing import Final

from service.contract.states import EventType


class WebhookEvent(StrEnum):
    """Types of messages: events of jobs, by their names with `job.` before them."""

    JOB_CREATED = f"job.{EventType.CREATED}"
    JOB_ATTEMPT_STARTED = f"job.{EventType.ATTEMPT_STARTED}"
    JOB_EVALUATED = f"job.{EventType.EVALUATED}"
    JOB_REQUEUED = f"job.{EventType.REQUEUED}"
    JOB_PAUSED = f"job.{EventType.PAUSED}"
    JOB_RESUMED = f"job.{EventType.RESUMED}"
    JOB_SUCCEEDED = f"job.{EventType.SUCCEEDED}"
    JOB_FAILED = f"job.{EventType.FAILED}"
    JOB_CANCELLED = f"job.{EventType.CANCELLED}"
    JOB_EXPIRED = f"job.{EventType.EXPIRED}"
    JOB_ARTIFACT_REMOVED = f"job.{EventType.ARTIFACT_REMOVED}"


ENDS: Final = (WebhookEvent.JOB_SUCCEEDED, WebhookEvent.JOB_FAILED, WebhookEvent.JOB_CANCELLED, WebhookEvent.JOB_EXPIRED)
"""What a webhook is told of unless it asks for something else."""

TEST_EVENT: Final = "webhook.test"
"""Sent when somebody asks for it."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    """It will be tried, or tried again."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """It was tried for a day, or the receiver wants nothing any more."""
