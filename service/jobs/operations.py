"""What callers do with jobs, and why it may be refused."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from service.attempts.tables import Attempt
from service.contract import JobSpec, JobState
from service.cursor import Page
from service.database import Database, Session
from service.datasets import operations as datasets
from service.errors import Later, NotFound, Problem
from service.idempotency.answers import Answer
from service.idempotency.operations import Asked, Keyed, known, once
from service.jobs import admission, repository
from service.jobs.accepting import NewJob, accept
from service.jobs.ordering import JobOrder, Place
from service.jobs.repository import JobFilter
from service.jobs.tables import Job, Layer
from service.logging import get_logger
from service.models.artifact import usable
from service.models.sources import ModelSources
from service.quotas import operations as quotas
from service.settings import Settings

log = get_logger(__name__)


class JobNotFound(NotFound):
    """Also what another tenant's job looks like."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(f"there is no job {job_id}")


class QuotaExceeded(Later):
    status, type, title, retry_after = 429, "quota-exceeded", "Too many jobs are waiting", 60


@dataclass(frozen=True)
class Creation:
    """A new job, admitted, and the key under which it was asked for, if any."""

    new: NewJob
    asked: Asked | None

    @property
    def keyed(self) -> Keyed | None:
        return ((self.new.tenant, self.asked.key), self.asked) if self.asked else None


def admitted(
    database: Database, settings: Settings, models: ModelSources, spec: JobSpec, *, tenant: str, asked: Asked | None
) -> Answer | JobSpec:
    """The spec as it can be accepted; the answer, if it is known: what was admitted then may be impossible now.

    Raises:
        ModelRefused, InvalidInput: the model, or the spec together with it, cannot work.
        KeyReused: the key stands for another request.
    """
    answer = known(database, asked, tenant=tenant) if asked else None
    return answer or admission.admit(models, settings, spec, tenant=tenant)


def admitted_quickly(models: ModelSources, settings: Settings, spec: JobSpec, *, tenant: str) -> JobSpec | None:
    """The same, without waiting for anything; None if it takes longer or is to be refused."""
    if not admission.is_quick(models, spec):
        return None
    with suppress(Problem):  # what was answered once is answered again, also where it would be refused now
        return admission.admit(models, settings, spec, tenant=tenant)
    return None


def create_all(
    database: Database, settings: Settings, answer: Callable[[Job], Answer], creations: Sequence[Creation]
) -> list[Answer | Exception]:
    """Accept jobs: rows, first events, messages to the workers and the answers under the callers' keys, all or nothing.

    Instead of an answer, for whoever is refused:
        QuotaExceeded: the tenant has too many jobs waiting.
        KeyReused, InFlight: the key stands for another request, or for one that goes on.
        ModelNotFound, InvalidInput: see `add`.
    """
    with database.begin() as session:

        def make(places: Sequence[int]) -> list[Answer | Problem]:
            made = _add_all(session, settings, [creations[place].new for place in places])
            return [job if isinstance(job, Problem) else answer(job) for job in made]

        return [*once(session, [creation.keyed for creation in creations], make)]


def add(session: Session, settings: Settings, spec: JobSpec, *, tenant: str, retry_of: UUID | None = None) -> Job:
    """One job with an admitted spec, as part of a transaction that is about to end.

    Raises:
        ModelNotFound: the earlier job whose artifact is to be pruned has lost it meanwhile.
        InvalidInput: a data set is not there.
        QuotaExceeded
    """
    (made,) = _add_all(session, settings, [NewJob(spec, tenant, retry_of)])
    if isinstance(made, Problem):
        raise made
    return made


def _add_all(session: Session, settings: Settings, wanted: Sequence[NewJob]) -> list[Job | Problem]:
    outcomes: dict[UUID, Job | Problem] = {}
    held: dict[UUID, list[UUID]] = {}
    for new in wanted:
        try:
            held[new.id] = _hold(session, new)
        except Problem as problem:
            outcomes[new.id] = problem
    ready = [new for new in wanted if new.id in held]
    # late, because the tenants' other callers wait from here to the commit
    for new, job in zip(ready, accept(session, ready, max_queued_jobs=settings.max_queued_jobs), strict=True):
        outcomes[new.id] = job or _quota_exceeded(session, settings, new.tenant)
        if job is not None:
            if held[new.id]:
                datasets.use(session, job.id, held[new.id])
            log.info("job_accepted", job_id=str(job.id), request_id=new.request_id)
    return [outcomes[new.id] for new in wanted]


def _hold(session: Session, new: NewJob) -> list[UUID]:
    """Keep what the job needs from being deleted; the uploads among it. Raises ModelNotFound, InvalidInput."""
    if new.spec.model.source == "job":
        source = UUID(new.spec.model.id)
        usable(repository.get(session, source, tenant=new.tenant, share=True), source)
    return datasets.hold(session, new.spec, tenant=new.tenant)


def _quota_exceeded(session: Session, settings: Settings, tenant: str) -> QuotaExceeded:
    most = quotas.limits_in(session, settings, tenant).max_queued_jobs
    return QuotaExceeded(f"{most} jobs are queued; wait until some have started, or cancel some")


def find(database: Database, job_id: UUID, tenant: str) -> Job | None:
    with database.begin() as session:
        return repository.get(session, job_id, tenant=tenant)


def get(database: Database, job_id: UUID, *, tenant: str) -> Job:
    """Raises JobNotFound."""
    job = find(database, job_id, tenant)
    if job is None:
        raise JobNotFound(job_id)
    return job


def queue_position(database: Database, job: Job) -> int | None:
    """1 for the job that is claimed next; None for one that does not wait for a worker."""
    if job.state != JobState.QUEUED:
        return None
    with database.begin() as session:
        return repository.ahead_of(session, job) + 1


def list_sorted(
    database: Database, wanted: JobFilter, order: JobOrder, *, tenant: str, cursor: str | None, limit: int
) -> Page[Job]:
    """Raises InvalidInput for a cursor that is none of this order."""
    behind = Place.decode(cursor, order) if cursor else None
    with database.begin() as session:
        found = repository.listed(session, wanted, tenant=tenant, order=order, behind=behind, limit=limit + 1)
    items = found[:limit]
    return Page(items, Place.of(items[-1], order).encode() if len(found) > limit else None)


def list_newest(database: Database, wanted: JobFilter, *, tenant: str, cursor: str | None, limit: int) -> Page[Job]:
    """Raises InvalidInput for a cursor that is none."""
    return list_sorted(database, wanted, JobOrder.NEWEST, tenant=tenant, cursor=cursor, limit=limit)


def attempts(database: Database, job_id: UUID, *, tenant: str) -> Sequence[Attempt]:
    """All attempts, oldest first. Raises JobNotFound."""
    with database.begin() as session:
        if repository.get(session, job_id, tenant=tenant) is None:
            raise JobNotFound(job_id)
        return repository.attempts(session, job_id)


def layers(database: Database, job_id: UUID, *, tenant: str, after: int, limit: int) -> Page[Layer]:
    """The matrices pruned so far. Raises JobNotFound."""
    with database.begin() as session:
        if repository.get(session, job_id, tenant=tenant) is None:
            raise JobNotFound(job_id)
        found = repository.layers(session, job_id, after=after, limit=limit + 1)
    page = found[:limit]
    return Page(page, str(page[-1].position) if len(found) > limit else None)
