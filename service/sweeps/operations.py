"""Operations on sweeps, with the errors that they raise."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.contract.sweeps import SweepSpec, SweepState
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.errors import InvalidInput, NotFound
from service.idempotency.operations import KeyedRequest, once
from service.idempotency.stored_response import Answer
from service.jobs import operations as jobs
from service.jobs import repository as job_rows
from service.jobs.admission import Admission
from service.jobs.events.operations import BATCH, Batch, EventBatch
from service.jobs.insertion import Origin
from service.jobs.operations import QuotaExceeded
from service.kit.pagination import Cursor, Page, page_of
from service.logging import get_logger
from service.models.sources import ModelSources
from service.planning.capacity import least_memory
from service.settings import Settings
from service.sweeps import advancing, repository
from service.sweeps.candidates import checked
from service.sweeps.points import Point, grid, named, refuse, refused_points
from service.sweeps.searching import progress
from service.tenants.quotas import operations as quotas

log = get_logger(__name__)


class SweepNotFound(NotFound):
    """Sweep that does not exist or belongs to another tenant."""

    def __init__(self, sweep_id: UUID) -> None:
        super().__init__(f"there is no sweep {sweep_id}")


@dataclass(frozen=True)
class Admitted:
    """Checked sweep: its body with the model pinned, and its points; of a search the jobs at the ends of its range."""

    spec: SweepSpec
    points: Sequence[Point]

    @property
    def example(self) -> JobSpec:
        """The first job."""
        return self.points[0].spec


def admit(models: ModelSources, settings: Settings, spec: SweepSpec, *, tenant: str) -> Admitted:
    """Check every point as a job creation does, and pin the template's model.

    Raises:
        InvalidInput: names every point that is no valid job, or does not fit its model.
        ModelRefused, StoreUnavailable: as for a job.
    """
    spec, points = expanded(spec)
    admission = Admission(models, settings, tenant=tenant)
    admitted, misfits = [], {}
    for point in points:
        try:
            job = admission.admit(point.spec)
            least = least_memory(job, admission.outline_of(point.spec.model))
            admitted.append(Point(point.position, point.values, job, least))
        except InvalidInput as error:
            misfits[point.position] = error.errors or []
    refuse(refused_points(spec, [point.values for point in points], misfits))
    _check_uploads(admitted)
    return Admitted(_pinned(spec, admitted), admitted)


def expanded(spec: SweepSpec) -> tuple[SweepSpec, list[Point]]:
    """Return the sweep and its points; of a search with its data set filled in, the jobs at the ends of its range.

    Raises:
        InvalidInput: names every point that is no valid job.
    """
    if not spec.is_search:
        return spec, grid(spec)
    spec, jobs = checked(spec)
    return spec, [Point(position, {}, job) for position, job in enumerate(jobs)]


def _check_uploads(points: Sequence[Point]) -> None:
    places = [(hub.repo, hub.branch) for point in points if (hub := point.spec.output.hub)]
    if len(set(places)) < len(places):
        detail = "several points would be uploaded to the same branch; upload the chosen one afterwards, or vary the branch"
        refuse([{"pointer": "/template/output/hub", "detail": detail}])


def _pinned(spec: SweepSpec, points: Sequence[Point]) -> SweepSpec:
    """Return the sweep with the revision of its only model in the template, so that a search's later points have the same."""
    models = {point.spec.model for point in points}
    if len(models) > 1 or not isinstance(spec.template.get("model"), Mapping):
        return spec.model_copy(update={"keep": spec.kept})
    template = {**spec.template, "model": models.pop().model_dump(mode="json")}
    return spec.model_copy(update={"template": template, "keep": spec.kept})


def create(
    database: Database,
    settings: Settings,
    models: ModelSources,
    spec: SweepSpec,
    *,
    tenant: str,
    keyed: KeyedRequest | None,
    answer: Callable[[Sweep, Sequence[Job]], Answer],
) -> Answer:
    """Create a sweep with all its jobs, or the first job of a search, and the response under the key, atomically.

    Raises:
        InvalidInput, ModelRefused, QuotaExceeded, KeyReused, InFlight
    """
    return once(
        database,
        keyed,
        tenant=tenant,
        admit=lambda: admit(models, settings, spec, tenant=tenant),
        create=lambda session, admitted: answer(*add(session, settings, admitted, tenant=tenant)),
    )


def add(session: Session, settings: Settings, admitted: Admitted, *, tenant: str) -> tuple[Sweep, Sequence[Job]]:
    """Insert an admitted sweep with its jobs. Raise what job creation raises."""
    spec, example = admitted.spec, admitted.example
    sweep = repository.insert(session, spec, tenant=tenant, model=example.model.id, labels=example.labels)
    if spec.is_search:
        found = progress(spec, [])
        assert found.next_values is not None
        sweep.search = advancing.search_row(found)
        first = advancing.add_point(session, settings, sweep, spec, found.next_values, position=0, least=admitted.points[0].least)
        made: Sequence[Job] = [first]
    else:
        made = _add_all(session, settings, sweep, admitted.points)
    log.info("sweep_accepted", sweep_id=str(sweep.id), points=len(made))
    return sweep, made


def _add_all(session: Session, settings: Settings, sweep: Sweep, points: Sequence[Point]) -> list[Job]:
    made: list[Job] = []
    for point in points:
        origin = Origin(sweep_id=sweep.id, position=point.position, values=point.values)
        try:
            job = named(point.spec, sweep.name, point.position)
            made.append(jobs.add(session, settings, job, tenant=sweep.tenant, origin=origin, least=point.least))
        except QuotaExceeded:
            limit = quotas.limits_in(session, settings, sweep.tenant).max_queued_jobs
            free = max(0, limit - (job_rows.count_queued(session, sweep.tenant) - len(made)))
            remedy = "take fewer points" if len(points) > limit else "wait until some jobs have started, or cancel some"
            raise QuotaExceeded(
                f"the sweep has {len(points)} jobs, and the queue has room for {free} of {limit}; {remedy}"
            ) from None
    return made


def get(database: Database, sweep_id: UUID, *, tenant: str) -> tuple[Sweep, Sequence[Job]]:
    """Return a sweep and the job of each of its points. Raises SweepNotFound."""
    with database.begin() as session:
        sweep = repository.get(session, sweep_id, tenant=tenant)
        if sweep is None:
            raise SweepNotFound(sweep_id)
        return sweep, repository.points(session, sweep_id)


@dataclass(frozen=True)
class Counted:
    """Sweep with the number of its points by the state of their job."""

    sweep: Sweep
    jobs: Mapping[JobState, int]


def counted(session: Session, sweep_id: UUID, *, tenant: str) -> Counted | None:
    """Return a sweep without its points."""
    sweep = repository.get(session, sweep_id, tenant=tenant)
    return Counted(sweep, repository.counts(session, [sweep_id]).get(sweep_id, {})) if sweep else None


def list_newest(
    database: Database, *, tenant: str, states: Collection[SweepState] = (), cursor: str | None, limit: int
) -> Page[Counted]:
    """Return a page of sweeps, newest first. Raises InvalidInput: the cursor is invalid."""
    before = Cursor.decode(cursor) if cursor else None
    with database.begin() as session:
        page = page_of(repository.newest(session, tenant=tenant, states=states, before=before, limit=limit + 1), limit)
        counts = repository.counts(session, [sweep.id for sweep in page.items])
    return Page([Counted(sweep, counts.get(sweep.id, {})) for sweep in page.items], page.next_cursor)


def events_after(database: Database, sweep_id: UUID, number: int, *, tenant: str, limit: int = BATCH) -> EventBatch:
    """Return up to `limit` events of the tenant's sweep with numbers above `number`. Raises SweepNotFound."""
    with database.begin() as session:
        sweep = repository.get(session, sweep_id, tenant=tenant)
        if sweep is None:
            raise SweepNotFound(sweep_id)
        return Batch.of(repository.events_after(session, sweep_id, number, limit), number, sweep)
