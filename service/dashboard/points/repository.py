"""SQL of a model's measured jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
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


def measured_jobs(session: Session, *, tenant: str, source: str, model: str, limit: int) -> Sequence[MeasuredJob]:
    """Return those of the newest `limit` succeeded jobs with this model's name that pruned it from `source`, newest first.

    The limit comes first: the database cannot estimate conditions on JSON, and would read all jobs of the model.
    """
    is_ours = (Job.tenant == tenant) & (Job.model == model) & Job.deleted_at.is_(None)
    order = (Job.created_at.desc(), Job.id.desc())
    columns = (Job.id, Job.spec, Job.metrics, Job.created_at)
    newest = select(*columns).where(is_ours, Job.state == JobState.SUCCEEDED).order_by(*order).limit(limit).subquery().c
    parts = [newest.spec["model"], newest.spec["recipe"], newest.spec["calibration"], newest.metrics]
    is_whole = [func.jsonb_typeof(part) == "object" for part in parts]
    wanted: Select[Any] = select(newest.id, *parts).where(*is_whole)
    wanted = wanted.where(newest.spec["model"]["source"].as_string() == source)
    return [MeasuredJob(*row) for row in session.execute(wanted.order_by(newest.created_at.desc(), newest.id.desc()))]
