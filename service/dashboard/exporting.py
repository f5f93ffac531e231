"""CSV export of the job list and the audit log."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from service.dashboard.formats import pattern, recipe
from service.dashboard.job_columns import first_perplexity
from service.dashboard.operations import entries
from service.database.engine import Database
from service.database.tables.audit import AuditEntry
from service.database.tables.jobs import Job
from service.jobs import operations
from service.jobs.repository import JobFilter
from service.jobs.sorting import JobOrder
from service.kit.csv_lines import csv_lines
from service.tenants.audit.repository import EntryFilter

_Row = tuple[Any, ...]

_PAGE: Final = 500
_COLUMNS: Final = (
    "id", "state", "model", "pattern", "recipe", "labels", "priority", "created_at", "started_at", "finished_at", "attempts",
    "error", "dataset", "perplexity_dense", "perplexity_pruned", "name", "sweep_id", "agreement",
    "artifact_bytes", "duration_seconds",
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    "id", "created_at", "key_id", "key_name", "action", "path", "created", "status", "problem", "request_id", "address",
)  # fmt: skip


def csv_of(database: Database, wanted: JobFilter, order: JobOrder, *, tenant: str) -> Iterator[str]:
    """Yield the filtered jobs in this order as CSV, one page of the list at a time."""

    def read(cursor: str | None) -> tuple[list[_Row], str | None]:
        page = operations.list_sorted(database, wanted, order, tenant=tenant, cursor=cursor, limit=_PAGE)
        return [_row(job) for job in page.items], page.next_cursor

    return _paged(_COLUMNS, read)


def audit_csv_of(database: Database, wanted: EntryFilter, *, tenant: str) -> Iterator[str]:
    """Yield the filtered audit entries, newest first, as CSV, one page of the log at a time."""

    def read(cursor: str | None) -> tuple[list[_Row], str | None]:
        page, names = entries(database, wanted, tenant=tenant, cursor=cursor, limit=_PAGE)
        return [_entry_row(entry, names) for entry in page.items], page.next_cursor

    return _paged(_ENTRY_COLUMNS, read)


def _paged(columns: tuple[str, ...], read: Callable[[str | None], tuple[list[_Row], str | None]]) -> Iterator[str]:
    """Yield the header, then the rows of each page that `read` returns for a cursor."""
    yield csv_lines([columns])
    cursor: str | None = None
    while True:
        rows, cursor = read(cursor)
        yield csv_lines(rows)
        if cursor is None:
            return


def _row(job: Job) -> _Row:
    labels = " ".join(f"{name}={value}" for name, value in job.labels.items())
    times = (each.isoformat() if each else "" for each in (job.created_at, job.started_at, job.finished_at))
    error = (job.error or {}).get("code", "")
    dense, pruned = first_perplexity(job.metrics, "dense"), first_perplexity(job.metrics, "pruned")
    perplexities = (pruned.get("dataset", ""), dense.get("perplexity", ""), pruned.get("perplexity", ""))
    return (
        job.id, job.state, job.model, pattern(job.spec), recipe(job.spec), labels, job.priority, *times, job.attempts_started,
        error, *perplexities, job.name, job.sweep_id, job.agreement, job.artifact_bytes, job.duration,
    )  # fmt: skip


def _entry_row(entry: AuditEntry, names: Mapping[str, str]) -> _Row:
    return (
        entry.id, entry.created_at.isoformat(), entry.key_id, names.get(entry.key_id or "", ""), entry.action, entry.path,
        entry.created, entry.status, entry.problem, entry.request_id, entry.address,
    )  # fmt: skip
