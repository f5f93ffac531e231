"""SQL of a model's measured jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.contract.states import JobState
from service.database.tables.jobs import Job


@dataclass(frozen=True)
class MeasuredJob:
    """Succeeded job: the parts of its spec that matter for a chart, and its metrics."""

    id: UUID
    model: Mapping[str, Any]
    recipe: Mapping[str, Any]
    calibration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    finished_at: datetime | None


def measured_jobs(session: Session, *, tenant: str, source: str, model: str, limit: int) -> Sequence[MeasuredJob]:
    """Return the tenant's succeeded jobs that pruned this model, newest first."""
    parts = [Job.spec["model"], Job.spec["recipe"], Job.spec["calibration"]]
    is_ours = (Job.tenant == tenant) & (Job.model == model) & Job.deleted_at.is_(None)
    is_whole = [func.jsonb_typeof(part) == "object" for part in (*parts, Job.metrics)]
    statement = (
        select(Job.id, *parts, Job.metrics, Job.finished_at)
        .where(is_ours, Job.state == JobState.SUCCEEDED, Job.spec["model"]["source"].as_string() == source, *is_whole)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(limit)
    )
    return [MeasuredJob(*row) for row in session.execute(statement)]
