"""Log lines of jobs."""

from datetime import datetime
from typing import Any

from service.client.answer import Answer
from service.client.request import drop_none


class LogLine(Answer):
    """One log line of an attempt. `seq` counts from 1 over all attempts of the job."""

    seq: int
    attempt: int
    stage: str | None = None
    level: str
    text: str
    created_at: datetime


def query_of(attempt: int | None, level: str | None, tail: int | None) -> dict[str, Any]:
    """Return the parameters of a request for lines."""
    return drop_none(attempt=attempt, level=level, tail=tail)
