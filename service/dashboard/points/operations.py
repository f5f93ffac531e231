"""Data of a model's page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.dashboard.points import repository
from service.dashboard.points.advice import Gap, Within, largest_gap, within
from service.dashboard.points.chart import ChartChoice, PointChart
from service.dashboard.points.conditions import conditions_text
from service.dashboard.points.point import points_of
from service.database.engine import Database

MOST: Final = 500
"""Jobs of which a page shows the points, which take some 200 kB."""


@dataclass(frozen=True)
class ModelPage:
    """Points of one model, and what they say."""

    chart: PointChart
    revisions: Mapping[str, int]
    """Number of jobs by revision, the newest first; the empty revision: not pinned."""
    revision: str
    bounds: Sequence[Within]
    ratio_of: str
    """Conditions of the bounds."""
    gap: Gap | None
    newest: UUID | None
    """Newest job under the chosen conditions, the template for what fills the gap."""
    is_cut: bool


def model_page(
    database: Database, asked: ChartChoice, *, tenant: str, source: str, model: str, revision: str | None
) -> ModelPage:
    """Return the data of a model's page; without a known revision, of the newest job's."""
    with database.begin() as session:
        found = repository.measured_jobs(session, tenant=tenant, source=source, model=model, limit=MOST + 1)
    revisions = Counter(str(job.model.get("revision") or "") for job in found[:MOST])
    chosen = revision if revision is not None and revision in revisions else next(iter(revisions), "")
    jobs = [job for job in found[:MOST] if (job.model.get("revision") or "") == chosen]
    points = points_of(jobs)
    chart = PointChart(points, asked)
    ratio = chart.ratio_of
    return ModelPage(
        chart,
        revisions,
        chosen,
        within(points, ratio),
        conditions_text(ratio) if ratio else "",
        largest_gap(chart.shown),
        next((point.job for point in chart.shown), None),
        len(found) > MOST,
    )
