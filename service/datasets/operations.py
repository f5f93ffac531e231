"""Operations on data sets, with the errors that they raise."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from service.contract.datasets import DATASETS, Dataset, is_upload, upload_prefix
from service.contract.spec import JobSpec
from service.database.engine import Database, Session, save
from service.database.tables.datasets import UploadedDataset
from service.datasets import repository
from service.datasets.intake import Contents, Intake
from service.errors import Conflict, InvalidInput, NotFound, Problem
from service.kit.pagination import Cursor
from service.logging import get_logger
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from service.tenants.quotas import operations as quotas

log = get_logger(__name__)


class DatasetNotFound(NotFound):
    """Data set that does not exist or belongs to another tenant."""

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"there is no data set {dataset_id}")


class DatasetQuotaExceeded(Problem):
    """Storage quota exceeded; 409 and not 429, because waiting does not help."""

    status, type, title = 409, "dataset-quota-exceeded", "Data set quota exceeded"


@dataclass(frozen=True)
class Upload:
    """A data set uploaded by the tenant."""

    dataset: UploadedDataset
    used_by_jobs: int = 0
    """Number of unfinished jobs that use it."""
    is_new: bool = False


@dataclass(frozen=True)
class Page:
    """One page of data sets, with the cursor of the next; None on the last."""

    built_in: list[Dataset]
    uploads: list[Upload]
    next_cursor: str | None


def keep(
    database: Database, settings: Settings, store: ArtifactStore, intake: Intake, *, name: str | None, tenant: str
) -> Upload:
    """Put an upload into the store, then insert its row. If the tenant has the same content already, return that data set.

    A failure in between leaves at most an unreferenced file, which is garbage-collected.

    Raises:
        InvalidInput: its last line is invalid, or it has no documents.
        DatasetQuotaExceeded: the tenant's data sets would exceed the quota.
        StoreUnavailable: the store cannot be written to.
    """
    contents = intake.finish()
    with database.begin() as session:
        known = _known(session, contents, settings, tenant)
    if known is not None:
        return known
    path = f"{upload_prefix(tenant, contents.id)}/{contents.sha256}-{uuid4().hex[:8]}.jsonl"
    store.put(path, intake.spool)
    with database.begin() as session:
        repository.lock_tenant(session, tenant)
        known = _known(session, contents, settings, tenant)
        if known is not None:  # a concurrent upload was first; this one's file is garbage-collected
            return known
        values = {"id": contents.id, "name": name or contents.id, "tenant": tenant, "path": path}
        made = save(session, UploadedDataset(**values, **vars(contents)))
    log.info("dataset_uploaded", dataset=made.id, bytes=made.bytes)
    return Upload(made, is_new=True)


def _known(session: Session, contents: Contents, settings: Settings, tenant: str) -> Upload | None:
    """Return the data set with the same content, if there is one; otherwise check the quota."""
    known = repository.get(session, contents.id, tenant=tenant)
    if known is not None:
        if known.sha256 != contents.sha256:  # among 2³² texts one collision of 64-bit ids is expected
            raise Conflict(f"another data set has the id {contents.id}; change this one slightly")
        return _counted(session, [known])[0]
    most, there = quotas.limits_in(session, settings, tenant).max_datasets_bytes, repository.bytes_of(session, tenant)
    if there + contents.bytes > most:
        raise DatasetQuotaExceeded(
            f"this data set has {contents.bytes} bytes and the others have {there}, but the quota is {most} bytes; delete some"
        )
    return None


def list_all(database: Database, *, cursor: str | None, limit: int, tenant: str) -> Page:
    """Return one page: built-in data sets, then the tenant's, newest first. Raises InvalidInput: the cursor is invalid."""
    before = Cursor.decode(cursor) if cursor else None
    built_in = [each for each in DATASETS.values() if before is None or _is_behind(_place(each), before)][: limit + 1]
    room = limit + 1 - len(built_in)
    with database.begin() as session:
        found = list(repository.newest(session, tenant=tenant, before=before, limit=room)) if room else []
        uploads = _counted(session, found)
    places = [_place(each) for each in built_in] + [Cursor(each.created_at, each.upload_id) for each in found]
    following = places[limit - 1].encode() if len(places) > limit else None
    return Page(built_in[:limit], uploads[: max(limit - len(built_in), 0)], following)


def get(database: Database, dataset_id: str, *, tenant: str) -> Dataset | Upload:
    """Return a built-in data set or one of the tenant's. Raises DatasetNotFound."""
    if dataset_id in DATASETS:
        return DATASETS[dataset_id]
    with database.begin() as session:
        return _counted(session, [_found(session, dataset_id, tenant)])[0]


def delete(database: Database, dataset_id: str, *, tenant: str) -> None:
    """Soft-delete a data set; garbage collection removes its file.

    Raises:
        DatasetNotFound
        Conflict: it is built in, or an unfinished job uses it.
    """
    if dataset_id in DATASETS:
        raise Conflict(f"{dataset_id} is built in; only uploads can be deleted")
    with database.begin() as session:
        upload_id = _found(session, dataset_id, tenant, lock=True).upload_id
        job_id = repository.user_of(session, upload_id)
        if job_id is not None:
            raise Conflict(f"job {job_id} uses it; wait until that job has ended, or cancel it")
        repository.mark_deleted(session, upload_id)


def hold(session: Session, spec: JobSpec, *, tenant: str) -> list[UUID]:
    """Lock the uploads that a spec names against deletion until the transaction ends, and return them. Raises InvalidInput."""
    wanted = spec.uploads()
    held = repository.held(session, set(wanted.values()), tenant=tenant) if wanted else {}
    errors = [
        {"pointer": pointer, "detail": f"there is no data set {dataset_id}; upload it, or see GET /v1/datasets"}
        for pointer, dataset_id in wanted.items()
        if dataset_id not in held
    ]
    if errors:
        raise InvalidInput("; ".join(f"{each['pointer']}: {each['detail']}" for each in errors), errors=errors)
    return list(held.values())


def use(session: Session, job_id: UUID, held: Collection[UUID]) -> None:
    """Record that a new job uses these uploads, which prevents their deletion until it has ended."""
    repository.use(session, job_id, held)


def _found(session: Session, dataset_id: str, tenant: str, *, lock: bool = False) -> UploadedDataset:
    found = repository.get(session, dataset_id, tenant=tenant, lock=lock) if is_upload(dataset_id) else None
    if found is None:
        raise DatasetNotFound(dataset_id)
    return found


def _counted(session: Session, found: list[UploadedDataset]) -> list[Upload]:
    jobs = repository.using(session, [each.upload_id for each in found]) if found else {}
    return [Upload(each, jobs.get(each.upload_id, 0)) for each in found]


_AFTER_ALL: Final = datetime.max.replace(tzinfo=UTC)


def _place(built_in: Dataset) -> Cursor:
    """Return the sort position of a built-in data set: before all uploads, in the order of `DATASETS`."""
    number = list(DATASETS).index(built_in.name)
    return Cursor(_AFTER_ALL, UUID(int=len(DATASETS) - number))


def _is_behind(place: Cursor, before: Cursor) -> bool:
    return (place.created_at, place.id) < (before.created_at, before.id)
