"""Response models of triggers."""

from datetime import datetime
from typing import Any

from service.client.answer import Answer


class Trigger(Answer):
    """Template of a job or sweep that events fill in and start."""

    id: str
    name: str
    description: str = ""
    starts: str = "job"
    """`job` or `sweep`."""
    template: dict[str, Any]
    filter: str | None = None
    source: str
    enabled: bool
    secret: str | None = None
    """Only in the response that created it."""
    created_at: datetime


class Firing(Answer):
    """An event that reached a trigger, and its outcome."""

    id: str
    outcome: str
    kind: str
    event_id: str
    job_id: str | None = None
    sweep_id: str | None = None
    problem: dict[str, Any] | None = None
    created_at: datetime


class FiringDetail(Firing):
    """A firing with its event, as placeholders see it."""

    event: dict[str, Any] | None = None
