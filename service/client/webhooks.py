"""Response models of webhooks."""

from datetime import datetime

from service.client.answer import Answer


class Webhook(Answer):
    """A URL that receives events of jobs."""

    id: str
    url: str
    """Of the format `slack` without its path, which authorises to post messages."""
    format: str = "dsnot"
    events: list[str]
    description: str = ""
    enabled: bool
    disabled_because: str | None = None
    secret: str | None = None
    """Only in the response that created it."""
    created_at: datetime


class DeliveryAttempt(Answer):
    """One attempt at sending a message."""

    number: int
    ended_at: datetime
    seconds: float
    status: int | None = None
    error: str | None = None


class Delivery(Answer):
    """A message and its delivery attempts."""

    id: str
    type: str
    job_id: str | None = None
    sweep_id: str | None = None
    state: str
    created_at: datetime
    next_attempt_at: datetime | None = None
    attempts: list[DeliveryAttempt]


class DeliveryDetail(Delivery):
    """A delivery with its exact message; None until it is first sent."""

    body: str | None = None
