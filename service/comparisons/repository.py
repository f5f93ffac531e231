"""SQL of comparisons: the jobs and the pruning results per block."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Float, cast, func, select
from sqlalchemy.orm import Session

from service.database.tables.jobs import Job, Layer


@dataclass(frozen=True)
class BlockMeasures:
    """Aggregate over the matrices of one block, as in `Summary` of the engine's report: errors are means over matrices."""

    block: int
    matrices: int
    sparsity: float
    error_start: float
    error_mask: float | None
    error: float
    swaps: int


def jobs(session: Session, ids: Sequence[UUID], *, tenant: str) -> dict[UUID, Job]:
    """Return the jobs that belong to the tenant, by id."""
    found = select(Job).where(Job.id.in_(ids), Job.tenant == tenant, Job.deleted_at.is_(None))
    return {job.id: job for job in session.scalars(found)}


def blocks(session: Session, ids: Sequence[UUID]) -> dict[UUID, list[BlockMeasures]]:
    """Return job id → blocks pruned so far, in model order; jobs without any are omitted."""
    weights = cast(Layer.rows, Float) * Layer.columns
    statement = (
        select(
            Layer.job_id,
            Layer.block,
            func.count(),
            func.sum(Layer.sparsity * weights) / func.sum(weights),
            func.avg(Layer.error_start),
            func.avg(Layer.error_mask),
            func.avg(Layer.error),
            func.sum(Layer.swaps),
        )
        .where(Layer.job_id.in_(ids))
        .group_by(Layer.job_id, Layer.block)
        .order_by(Layer.job_id, Layer.block)
    )
    found: dict[UUID, list[BlockMeasures]] = {}
    for job_id, *measures in session.execute(statement):
        found.setdefault(job_id, []).append(BlockMeasures(*measures))
    return found
