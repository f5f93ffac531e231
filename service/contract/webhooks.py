"""Types and delivery states of webhook messages."""

from enum import StrEnum
from typing import Final

from service.contract.states import EventType
from service.contract.sweeps import SweepEventType


class WebhookEvent(StrEnum):
    """Type of a webhook message: `job.` or `sweep.`, and the type of its event."""

    JOB_CREATED = f"job.{EventType.CREATED}"
    JOB_ATTEMPT_STARTED = f"job.{EventType.ATTEMPT_STARTED}"
    JOB_EVALUATED = f"job.{EventType.EVALUATED}"
    JOB_GATE_FAILED = f"job.{EventType.GATE_FAILED}"
    JOB_REQUEUED = f"job.{EventType.REQUEUED}"
    JOB_PAUSED = f"job.{EventType.PAUSED}"
    JOB_RESUMED = f"job.{EventType.RESUMED}"
    JOB_SUCCEEDED = f"job.{EventType.SUCCEEDED}"
    JOB_FAILED = f"job.{EventType.FAILED}"
    JOB_CANCELLED = f"job.{EventType.CANCELLED}"
    JOB_EXPIRED = f"job.{EventType.EXPIRED}"
    JOB_ARTIFACT_REMOVED = f"job.{EventType.ARTIFACT_REMOVED}"
    JOB_MLFLOW_LOGGED = f"job.{EventType.MLFLOW_LOGGED}"
    JOB_MLFLOW_FAILED = f"job.{EventType.MLFLOW_FAILED}"
    SWEEP_CREATED = f"sweep.{SweepEventType.CREATED}"
    SWEEP_POINT_ENDED = f"sweep.{SweepEventType.POINT_ENDED}"
    SWEEP_FINISHED = f"sweep.{SweepEventType.FINISHED}"
    SWEEP_FAILED = f"sweep.{SweepEventType.FAILED}"
    SWEEP_CANCELLED = f"sweep.{SweepEventType.CANCELLED}"


ENDS: Final = (WebhookEvent.JOB_SUCCEEDED, WebhookEvent.JOB_FAILED, WebhookEvent.JOB_CANCELLED, WebhookEvent.JOB_EXPIRED)
"""Events of a webhook that names none: the ends of jobs."""


class WebhookFormat(StrEnum):
    """Format of a webhook's messages."""

    DSNOT = "dsnot"
    """CloudEvent with the whole job or sweep."""
    SLACK = "slack"
    """Text for people, as incoming webhooks of Slack and compatible chat services accept it."""


TEST_EVENT: Final = "webhook.test"
"""Type of the message that is sent on request."""


class DeliveryState(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    """Waiting for the first attempt or a retry."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """Retried for a day without success, or the receiver answered 410 (gone)."""
