"""Webhook messages: one JSON object that is a Standard Webhooks payload and a structured CloudEvent 1.0."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.contract.states import JobState
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep, SweepEvent
from service.database.tables.webhooks import Delivery
from service.jobs.schemas import JobView
from service.sweeps.schemas import SweepView

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True)
class Subject:
    """Job or sweep that a message is about, in its current state, and the event."""

    id: UUID
    path: str
    data: Mapping[str, Any]
    at: datetime


def about_job(job: Job, event: JobEvent) -> Subject:
    """Return a job as the subject of a message."""
    data = {"job": JobView.of(job).model_dump(mode="json"), "event": _event(event)}
    return Subject(job.id, f"/v1/jobs/{job.id}", data, event.created_at)


def about_sweep(sweep: Sweep, jobs: Mapping[JobState, int], event: SweepEvent) -> Subject:
    """Return a sweep as the subject of a message, without its points; `jobs` is their number by state."""
    data = {"sweep": SweepView.of(sweep, jobs).model_dump(mode="json"), "event": _event(event)}
    return Subject(sweep.id, f"/v1/sweeps/{sweep.id}", data, event.created_at)


def _event(event: JobEvent | SweepEvent) -> dict[str, Any]:
    return {"seq": event.seq, "type": event.type, "data": event.data}


def body_of(delivery: Delivery, subject: Subject | None) -> str:
    """Return the message of a delivery; a test message has no subject."""
    at = subject.at if subject else delivery.created_at
    message = {
        "specversion": "1.0",
        "id": str(delivery.id),
        "source": subject.path if subject else f"/v1/webhooks/{delivery.webhook_id}",
        "type": delivery.type,
        "time": _rfc3339(at),
        "timestamp": _rfc3339(at),
        "datacontenttype": "application/json",
        "data": dict(subject.data) if subject else {},
    }
    return json.dumps(message | ({"subject": str(subject.id)} if subject else {}), ensure_ascii=False, separators=(",", ":"))


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
