"""SQL of comparisons: the jobs and the pruning results per block."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Float, cast, func, select
from sqlalchemy.orm import Session

from service.contract.matrices import BlockView
from service.database.tables.jobs import Job, Layer


def jobs(session: Session, ids: Sequence[UUID], *, tenant: str) -> dict[UUID, Job]:
    """Return the jobs that belong to the tenant, by id."""
    found = select(Job).where(Job.id.in_(ids), Job.tenant == tenant, Job.deleted_at.is_(None))
    return {job.id: job for job in session.scalars(found)}


def blocks(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[BlockView]]:
    """Return job id → blocks pruned so far, in model order; jobs without any are omitted."""
    weights = cast(Layer.rows, Float) * Layer.columns
    statement = (
        select(
            Layer.job_id,
            Layer.block,
            func.count().label("matrices"),
            (func.sum(Layer.sparsity * weights) / func.sum(weights)).label("sparsity"),
            func.avg(Layer.error_start).label("error_start"),
            func.avg(Layer.error_mask).label("error_mask"),
            func.avg(Layer.error).label("error"),
            func.sum(Layer.swaps).label("swaps"),
        )
        .where(Layer.job_id.in_(ids))
        .group_by(Layer.job_id, Layer.block)
        .order_by(Layer.job_id, Layer.block)
    )
    found: dict[UUID, list[BlockView]] = {}
    for row in session.execute(statement):
        found.setdefault(row.job_id, []).append(BlockView.model_validate(row, from_attributes=True))
    return found
