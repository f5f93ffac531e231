"""Comparison of jobs: their specs and their measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.comparisons import repository
from service.comparisons.differences import Difference, differences
from service.comparisons.measures import Measure, measures
from service.contract.matrices import BlockView
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.jobs.operations import JobNotFound


@dataclass(frozen=True)
class Comparison:
    """Jobs side by side; sequences with one value per job are in the order of `jobs`."""

    jobs: Sequence[Job]
    blocks: Sequence[Sequence[BlockView]]
    differences: Sequence[Difference]
    measures: Sequence[Measure]
    warnings: Sequence[str]


def compare(database: Database, ids: Sequence[UUID], *, tenant: str) -> Comparison:
    """Compare jobs in the given order and in any state.

    Raises:
        JobNotFound: the tenant does not have one of the jobs; names the first.
    """
    with database.begin() as session:
        found = repository.jobs(session, ids, tenant=tenant)
        missing = next((each for each in ids if each not in found), None)
        if missing is not None:
            raise JobNotFound(missing)
        blocks = repository.blocks(session, ids)
    jobs = [found[each] for each in ids]
    return Comparison(
        jobs=jobs,
        blocks=[blocks.get(each, []) for each in ids],
        differences=differences([job.spec for job in jobs]),
        measures=measures([job.metrics for job in jobs]),
        warnings=_warnings(jobs),
    )


def _warnings(jobs: Sequence[Job]) -> list[str]:
    """Return warnings about the comparability of the measurements."""
    models = {(job.spec["model"]["source"], job.model) for job in jobs}
    found = []
    if len(models) > 1:
        found.append(
            "the jobs prune different models: perplexities and losses are comparable only between models with the same tokenizer"
        )
    unmeasured = [str(job.id) for job in jobs if not job.metrics]
    if unmeasured:
        found.append(f"there are no measurements yet for {', '.join(unmeasured)}")
    return found
