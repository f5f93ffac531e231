"""SQL of the retention of ended jobs: soft deletion by age, and removal of the figures of their blocks and matrices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from service.contract.states import EventType
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, Layer
from service.database.tables.quotas import TenantQuota
from service.database.tables.sweeps import Sweep
from service.jobs.repository import uses_artifact
from service.tenants.quotas.retention import past_retention

_BATCH: Final = 500
_HAS_ENDED: Final = (Job.finished_at.is_not(None), Job.deleted_at.is_(None))
_HAS_LAYERS: Final = (Job.finished_at.is_not(None), Job.layers_removed_at.is_(None))
_BLIND: Final[dict[str, Any]] = {"synchronize_session": False}


def expire_by_age(session: Session, *, keep_seconds: float | None) -> Sequence[UUID]:
    """Soft-delete a batch of jobs that ended before the retention period; return them.

    The jobs of a sweep expire with it. A job whose artifact an unfinished job prunes is kept.
    """
    old = past_retention(Job.finished_at, TenantQuota.keep_jobs_seconds, keep_seconds, *_HAS_ENDED, also=_unused, limit=_BATCH)
    batch = select(Job.id).where(Job.id.in_(old), *_HAS_ENDED).with_for_update(skip_locked=True)
    job_ids = session.scalars(batch).all()
    session.execute(update(Job).where(Job.id.in_(job_ids)).values(deleted_at=func.now()), execution_options=_BLIND)
    return job_ids


def _unused(until: ColumnElement[datetime]) -> Sequence[ColumnElement[bool]]:
    user, sweep = aliased(Job), aliased(Sweep)
    is_used = select(user.id).where(uses_artifact(user, Job.id, Job.tenant)).exists()
    is_kept = or_(sweep.finished_at.is_(None), sweep.finished_at >= until)
    of_kept_sweep = select(sweep.id).where(sweep.id == Job.sweep_id, is_kept).exists()
    return ~is_used, ~of_kept_sweep


def remove_layers(session: Session, *, keep_seconds: float | None) -> int:
    """Delete the figures of a batch of jobs that ended before the retention period; return the jobs' number.

    They are the rows of the matrices and the events of the blocks, nine tenths of what a job leaves.
    """
    old = past_retention(Job.finished_at, TenantQuota.keep_layers_seconds, keep_seconds, *_HAS_LAYERS, limit=_BATCH)
    batch = select(Job.id).where(Job.id.in_(old), *_HAS_LAYERS).with_for_update(skip_locked=True)
    job_ids = session.scalars(batch).all()
    session.execute(delete(Layer).where(Layer.job_id.in_(job_ids)), execution_options=_BLIND)
    of_blocks = (JobEvent.job_id.in_(job_ids), JobEvent.type == EventType.BLOCK_PRUNED)
    session.execute(delete(JobEvent).where(*of_blocks), execution_options=_BLIND)
    session.execute(update(Job).where(Job.id.in_(job_ids)).values(layers_removed_at=func.now()), execution_options=_BLIND)
    return len(job_ids)
