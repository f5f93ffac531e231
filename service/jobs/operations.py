"""Operations on jobs, with the errors that they raise."""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from service.contract.spec import JobSpec
from service.database.engine import Database, Session
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job, Layer
from service.datasets import operations as datasets
from service.errors import Later, NotFound
from service.idempotency.operations import KeyedRequest, once
from service.idempotency.stored_response import Answer
from service.jobs import repository
from service.jobs.admission import Admission
from service.jobs.insertion import NEW, Origin, insert_job
from service.jobs.least_memory import UNKNOWN, LeastMemory
from service.jobs.repository import JobFilter
from service.jobs.sorting import JobOrder, Place
from service.kit.pagination import Page
from service.logging import get_logger
from service.models.artifact import usable
from service.models.outline import ModelOutline
from service.models.sources import ModelSources
from service.settings import Settings
from service.tenants.quotas import operations as quotas

log = get_logger(__name__)


class JobNotFound(NotFound):
    """Job that does not exist or belongs to another tenant."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(f"there is no job {job_id}")


class QuotaExceeded(Later):
    """Full queue of the tenant."""

    status, type, title, retry_after = 429, "quota-exceeded", "Job quota exceeded", 60


def create(
    database: Database,
    settings: Settings,
    models: ModelSources,
    spec: JobSpec,
    *,
    tenant: str,
    keyed: KeyedRequest | None,
    warn: Callable[[JobSpec, ModelOutline | None], Iterable[str]],
    measure: Callable[[JobSpec, ModelOutline | None], LeastMemory],
    answer: Callable[[Job, Sequence[str]], Answer],
) -> Answer:
    """Create a job: its row, first event, outbox message and the response under the idempotency key, atomically.

    Args:
        warn: returns warnings about the admitted spec and, if the service has read it, its model; runs before the transaction.
        measure: returns the smallest memory in which such a job can run.
        answer: makes the response of the job and the warnings.

    Raises:
        ModelRefused, InvalidInput: the model cannot be used, or the spec does not fit it.
        QuotaExceeded: the tenant's queue is full.
        KeyReused, InFlight: the idempotency key belongs to another request, or to one in progress.
    """

    def admit() -> tuple[JobSpec, LeastMemory, list[str]]:
        admission = Admission(models, settings, tenant=tenant)
        admitted, model = admission.admit(spec), admission.outline_of(spec.model)
        return admitted, measure(admitted, model), list(warn(admitted, model))

    def insert(session: Session, admitted: tuple[JobSpec, LeastMemory, list[str]]) -> Answer:
        found, least, warned = admitted
        return answer(add(session, settings, found, tenant=tenant, least=least), warned)

    return once(database, keyed, tenant=tenant, admit=admit, create=insert)


def add(
    session: Session,
    settings: Settings,
    spec: JobSpec,
    *,
    tenant: str,
    origin: Origin = NEW,
    least: LeastMemory = UNKNOWN,
) -> Job:
    """Insert a job with an admitted spec. The transaction should end soon, because the tenant's other callers wait for it.

    Raises:
        ModelNotFound: the artifact of the earlier job to be pruned was removed since the admission.
        InvalidInput: a data set does not exist, or the tenant's quota does not allow the priority.
        QuotaExceeded
    """
    quotas.check_priority(session, settings, spec, tenant)
    if spec.model.source == "job":
        source = UUID(spec.model.id)
        usable(repository.get(session, source, tenant=tenant, share=True), source)
    uploads = datasets.hold(session, spec, tenant=tenant)
    most = settings.max_queued_jobs
    job = insert_job(session, spec, tenant=tenant, max_queued_jobs=most, origin=origin, least=least)
    if job is None:
        limit = quotas.limits_in(session, settings, tenant).max_queued_jobs
        raise QuotaExceeded(f"{limit} jobs are queued; wait until some have started, or cancel some")
    datasets.use(session, job.id, uploads)
    log.info("job_accepted", job_id=str(job.id))
    return job


def find(database: Database, job_id: UUID, tenant: str) -> Job | None:
    """Return the tenant's job, if it exists."""
    with database.begin() as session:
        return repository.get(session, job_id, tenant=tenant)


def get(database: Database, job_id: UUID, *, tenant: str) -> Job:
    """Return the tenant's job. Raises JobNotFound."""
    job = find(database, job_id, tenant)
    if job is None:
        raise JobNotFound(job_id)
    return job


def list_sorted(
    database: Database, wanted: JobFilter, order: JobOrder, *, tenant: str, cursor: str | None, limit: int
) -> Page[Job]:
    """Return one page of the tenant's jobs in this order. Raises InvalidInput: the cursor is invalid for this order."""
    behind = Place.decode(cursor, order) if cursor else None
    with database.begin() as session:
        found = repository.listed(session, wanted, tenant=tenant, order=order, behind=behind, limit=limit + 1)
    items = found[:limit]
    return Page(items, Place.of(items[-1], order).encode() if len(found) > limit else None)


def list_newest(database: Database, wanted: JobFilter, *, tenant: str, cursor: str | None, limit: int) -> Page[Job]:
    """Return one page of the tenant's jobs, newest first. Raises InvalidInput: the cursor is invalid."""
    return list_sorted(database, wanted, JobOrder.NEWEST, tenant=tenant, cursor=cursor, limit=limit)


def attempts(database: Database, job_id: UUID, *, tenant: str) -> Sequence[Attempt]:
    """Return all attempts, oldest first. Raises JobNotFound."""
    with database.begin() as session:
        if repository.get(session, job_id, tenant=tenant) is None:
            raise JobNotFound(job_id)
        return repository.attempts(session, job_id)


def layers(database: Database, job_id: UUID, *, tenant: str, after: int, limit: int) -> Page[Layer]:
    """Return one page of the matrices pruned so far, in model order. Raises JobNotFound."""
    with database.begin() as session:
        if repository.get(session, job_id, tenant=tenant) is None:
            raise JobNotFound(job_id)
        found = repository.layers(session, job_id, after=after, limit=limit + 1)
    page = found[:limit]
    return Page(page, str(page[-1].position) if len(found) > limit else None)
