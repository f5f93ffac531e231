"""Webhook messages: one JSON object that is a Standard Webhooks payload and a structured CloudEvent 1.0."""

import json
from datetime import datetime
from typing import Any

from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.webhooks import Delivery
from service.jobs.schemas import JobView

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def body_of(delivery: Delivery, job: Job | None, event: JobEvent | None) -> str:
    """Return the message of a delivery; `data` contains the event and the job's current state."""
    at = event.created_at if event else delivery.created_at
    data: dict[str, Any] = {}
    if job is not None:
        data["job"] = JobView.of(job).model_dump(mode="json")
    if event is not None:
        data["event"] = {"seq": event.seq, "type": event.type, "data": event.data}
    message = {
        "specversion": "1.0",
        "id": str(delivery.id),
        "source": f"/v1/jobs/{job.id}" if job else f"/v1/webhooks/{delivery.webhook_id}",
        "type": delivery.type,
        "time": _rfc3339(at),
        "timestamp": _rfc3339(at),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(message | ({"subject": str(job.id)} if job else {}), ensure_ascii=False, separators=(",", ":"))


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
