"""Log of one attempt: what the worker and its libraries log while it runs is kept with the job.

A thread writes the lines in batches under the fence of the claim. A log that cannot be written never fails the job, and delays
its end by ten seconds at most: lines of a database outage are written after it, as far as they fit; every other error ends the
log, not the attempt. Forked children log to standard error only.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from structlog.contextvars import get_contextvars

from service.contract.logs import ATTEMPT_BYTES, JOB_BYTES
from service.contract.states import Stage
from service.database.engine import TRANSIENT, Database
from service.database.reasons import reason_of
from service.jobs.attempts.repository import Claim, StaleFence
from service.jobs.logs import repository
from service.logging import get_logger
from worker.process.metrics import LOG_LINES
from worker.run.log_lines import LineBuffer, LogLine, bounded_lines, import_folders, line_formatter

log = get_logger(__name__)

_WRITE_SECONDS: Final = 0.5
"""Interval of writes, and so the most that is lost when the process is killed."""
_BATCH: Final = 500
_END_SECONDS: Final = 10.0
"""Maximum time for which the end of an attempt waits for its last lines."""
_OF_THE_HOST: Final = frozenset({"worker.inputs.model_cache", "worker.host", __name__})
"""Loggers whose events may name models of other tenants or objects of the store, or are about this log."""


class JobLog(logging.Handler):
    """Handler for all loggers that keeps the lines of one attempt, from `__enter__` to `end` or `__exit__`.

    Lines belong to the attempt if they were logged in its context (`job_id`).

    Args:
        stage_of: returns the current stage.
        folders: replacements for paths of this machine.
    """

    def __init__(
        self, database: Database, claim: Claim, stage_of: Callable[[], Stage | None], folders: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.setFormatter(line_formatter())
        self._database = database
        self._claim = claim
        self._job = str(claim.job_id)
        self._stage_of = stage_of
        self._folders = {**folders, **import_folders()}
        self._lines = LineBuffer()
        self._room: int | None = None
        self._pid = os.getpid()
        self._is_closed = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_until_end, name="job log", daemon=True)
        self._attached: list[logging.Logger] = []

    def __enter__(self) -> "JobLog":
        # libraries such as transformers do not hand their records on to the root logger
        known = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
        self._attached = [logging.root, *(each for each in known if not each.propagate)]
        for logger in self._attached:
            logger.addHandler(self)
        logging.captureWarnings(True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()
        if not self._thread.is_alive():  # two writers would give lines the same numbers
            while self._write(is_end=True):  # what an outage has held up
                pass

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the lines of a record of this attempt.

        A forked child has copies of the lines and of their lock, which a thread of the parent may have held at the fork.
        """
        if os.getpid() != self._pid:
            return
        if record.name in _OF_THE_HOST or get_contextvars().get("job_id") != self._job:
            return
        try:
            for text in bounded_lines(self.format(record), self._folders):
                self._lines.add(LogLine(record.levelno, self._stage_of(), text))
        except Exception:
            self.handleError(record)

    def end(self) -> None:
        """Write the last lines; called before the end of the attempt is recorded, so that a job that has ended has them all."""
        if self._ended.is_set():
            return
        for logger in self._attached:
            logger.removeHandler(self)
        logging.captureWarnings(False)
        self._ended.set()
        self._thread.join(_END_SECONDS)

    def _write_until_end(self) -> None:
        while not self._ended.wait(_WRITE_SECONDS):
            while self._write():
                pass
        while self._write(is_end=True):
            pass

    def _write(self, *, is_end: bool = False) -> bool:
        """Write a batch; return whether there may be more to write now."""
        if self._is_closed:
            return False
        taken: list[LogLine] = []
        try:
            taken = self._lines.take(self._room_left(), _BATCH, is_end=is_end)
            if taken:
                self._append(taken)
        except TRANSIENT as error:
            self._lines.put_back(taken)
            log.warning("job_log_delayed", job_id=self._job, reason=reason_of(error))
            return False
        except StaleFence:
            self._is_closed = True
        except Exception as error:
            self._is_closed = True
            log.warning("job_log_ended", job_id=self._job, error=type(error).__name__)
        return bool(taken)

    def _append(self, lines: list[LogLine]) -> None:
        claim = self._claim
        with self._database.begin() as session:
            repository.append(session, claim.job_id, claim.fence, claim.attempt, [line.to_new() for line in lines])
        self._room = self._room_left() - sum(line.bytes for line in lines)
        LOG_LINES.inc(len(lines))

    def _room_left(self) -> int:
        if self._room is None:
            with self._database.begin() as session:
                self._room = min(ATTEMPT_BYTES, JOB_BYTES - repository.kept_bytes(session, self._claim.job_id))
        return self._room
