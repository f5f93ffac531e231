"""Log of a job for its page, filtered by attempt and level; as with the page's filter of events, an invalid one is ignored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query

from service.contract.logs import LogLevel
from service.dashboard import repository
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.logs import JobLogLine
from service.jobs.logs.repository import LineFilter

SHOWN_LINES: Final = 200
_LAST_LINES: Final = 20
"""Lines that explain a failure: a traceback's end with the calls that led there."""


@dataclass(frozen=True)
class JobLog:
    """Data of the tab with the log."""

    wanted: LineFilter
    lines: Sequence[JobLogLine]
    """The newest lines that the filter lets through, oldest first."""

    @property
    def is_cut(self) -> bool:
        """Whether there may be older lines."""
        return len(self.lines) == SHOWN_LINES

    @property
    def last_seq(self) -> int:
        """Number of the newest line, 0 without lines."""
        return self.lines[-1].seq if self.lines else 0


async def _wanted(
    attempt: Annotated[str, Query(max_length=10)] = "", level: Annotated[str, Query(max_length=10)] = ""
) -> LineFilter:
    number = int(attempt) if attempt.isascii() and attempt.isdigit() and 0 < int(attempt) < 2**31 else None
    return LineFilter(number, LogLevel(level) if level in set(LogLevel) else None)


WantedLines = Annotated[LineFilter, Depends(_wanted)]


def log_of(database: Database, job: Job, wanted: LineFilter) -> JobLog:
    """Return the log of a job that the visitor may read."""
    with database.begin() as session:
        return JobLog(wanted, repository.last_lines(session, job.id, wanted, limit=SHOWN_LINES))


def last_lines(database: Database, job: Job) -> Sequence[JobLogLine]:
    """Return the last lines of the job's last attempt."""
    with database.begin() as session:
        return repository.last_lines(session, job.id, LineFilter(job.attempts_started), limit=_LAST_LINES)
