"""Dry run of a sweep: the plan of its first job, and the estimated times of all."""

from collections.abc import Sequence
from functools import reduce

from service.contract.model_spec import ModelSpec
from service.contract.spec import JobSpec
from service.contract.sweeps import SweepSpec
from service.database.engine import Database
from service.datasets import repository as uploads
from service.models.sources import ModelSources
from service.planning import operations as plans
from service.planning.estimates import AFTER_BLOCKS, Seconds
from service.planning.eta import outlook
from service.settings import Settings
from service.sweeps import operations
from service.sweeps.schemas import PlannedPointView, SweepPlanView
from service.sweeps.searching import progress
from service.sweeps.wording import values_text


def plan(database: Database, settings: Settings, models: ModelSources, spec: SweepSpec, *, tenant: str) -> SweepPlanView:
    """Check all points as a creation does, and estimate time and disk.

    Raises:
        ModelRefused, InvalidInput: a creation would fail in the same way.
        DoesNotFit: the model is too large for every worker that could run the jobs.
    """
    admitted = operations.admit(models, settings, spec, tenant=tenant)
    by_model = {point.spec.model: point.spec for point in reversed(admitted.points)}
    planned = {model: plans.plan(database, settings, models, example, tenant=tenant) for model, example in by_model.items()}
    first = planned[admitted.example.model]
    seconds = _seconds(database, settings, [point.spec for point in admitted.points], planned, tenant)
    points = [
        PlannedPointView(
            position=point.position, values=point.values, text=values_text(point.values), **_fields("run_seconds", each)
        )
        for point, each in zip(admitted.points, seconds, strict=True)
    ]
    number = len(points)
    if spec.is_search:
        number, points = spec.max_points, [_first_point(admitted.spec, points[0])]
        known = [each for each in seconds if each is not None]
        total = max(known).times(number) if len(known) == len(seconds) else None
    else:
        total = _sum(seconds)
    sizes = [planned[point.spec.model].artifact_bytes for point in admitted.points]
    at_once = 1 if spec.is_search else max(1, min(first.able_workers, number))
    warnings = list(dict.fromkeys(warning for each in planned.values() for warning in each.warnings))
    return SweepPlanView(
        spec=admitted.spec.model_dump(mode="json"),
        points=number,
        table=points,
        **_fields("run_seconds", total),
        **_fields("wall_seconds", total.times(1 / at_once) if total and first.able_workers else None),
        note=None if total else AFTER_BLOCKS,
        disk_bytes=max((each.disk_bytes for each in planned.values() if each.disk_bytes is not None), default=None),
        artifact_bytes=_total([sizes[0]] * number if spec.is_search else sizes),
        queued_jobs=first.queued_jobs,
        max_queued_jobs=first.max_queued_jobs,
        able_workers=first.able_workers,
        warnings=[*warnings, *_of_room(1 if spec.is_search else number, first)],
    )


def _first_point(spec: SweepSpec, example: PlannedPointView) -> PlannedPointView:
    values = progress(spec, []).next_values or {}
    return example.model_copy(update={"position": 0, "values": values, "text": values_text(values)})


def _seconds(
    database: Database, settings: Settings, specs: Sequence[JobSpec], planned: dict[ModelSpec, plans.Plan], tenant: str
) -> list[Seconds | None]:
    with database.begin() as session:
        seen = {device: outlook(session, settings, device) for device in {spec.device for spec in specs}}
        names = {name for spec in specs for name in spec.uploads().values()}
        uploaded = uploads.characters(session, names, tenant=tenant)
    return [plans.run_time(seen[spec.device], spec, planned[spec.model].model, uploaded) for spec in specs]


def _fields(name: str, seconds: Seconds | None) -> dict[str, float | None]:
    """Return a view's fields of an estimate: its value, and the ends of its range."""
    names = (name, f"{name}_low", f"{name}_high")
    return dict(zip(names, [round(each, 1) for each in seconds] if seconds else [None] * 3, strict=True))


def _sum(seconds: Sequence[Seconds | None]) -> Seconds | None:
    known = [each for each in seconds if each is not None]
    return reduce(Seconds.plus, known) if len(known) == len(seconds) else None


def _of_room(number: int, first: plans.Plan) -> list[str]:
    free = first.max_queued_jobs - first.queued_jobs
    if number <= free:
        return []
    return [f"The sweep has {number} jobs, and the queue has room for {max(free, 0)} of {first.max_queued_jobs}."]


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
