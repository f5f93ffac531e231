"""Checks of models for the service: a thread of the worker's parent builds them without weights, also while a job runs."""

import random
import re
import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final

from service.contract.failures import FailureCode
from service.contract.model_checks import ModelCheck, ModelFacts, SparseFiles, kinds_of
from service.database.engine import TRANSIENT, Database
from service.logging import get_logger
from service.models.checks import repository
from service.models.checks.repository import Question
from service.settings import Settings
from worker.process.forking import NO_FORK

log = get_logger(__name__)

_LOOK_SECONDS: Final = 0.1
"""Interval at which the workers together look for checks, where they are many."""
_MIN_LOOK_SECONDS: Final = 1.0
_MAX_LOOK_SECONDS: Final = 10.0
"""Bounds of the interval of one worker: below the time for which the service waits, whatever the number of workers."""
_PAUSE_SECONDS: Final = 60.0
"""Pause after an unexpected error, such as a missing right, which would fill the log."""
_SECONDS_TO_STOP: Final = 5.0
_SECONDS: Final = 60
"""Limit of processor time; that of memory is the one of every limited child."""
_NO_FAULT: Final = {FailureCode.INTERNAL, FailureCode.OUT_OF_HOST_MEMORY, FailureCode.DISK_FULL}
"""Failures of this host, which say nothing about the model."""

_BLOCK: Final = re.compile(r"^(?:.*?\.)?\d+\.")
"""The name of a block at the beginning of a matrix's."""


def look_seconds(workers: int) -> float:
    """Return the interval of one of this number of workers, so that the database's load does not grow with them.

    The first of them to look still finds a check within about a second.
    """
    return min(_MAX_LOOK_SECONDS, max(_MIN_LOOK_SECONDS, _LOOK_SECONDS * workers))


class ModelChecker:
    """Thread that answers checks from `__enter__` to `__exit__`."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings.database_address, pool_size=1)
        self._silent_seconds = settings.lease_seconds
        self._seconds = _MIN_LOOK_SECONDS
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, name="model checks", daemon=True)

    def __enter__(self) -> "ModelChecker":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._gone.set()
        self._thread.join(_SECONDS_TO_STOP)
        self._database.close()

    def _work(self) -> None:
        while not self._gone.wait(self._seconds * random.uniform(0.8, 1.2)):  # noqa: S311  # workers started together spread out
            try:
                while not self._gone.is_set() and self._answered_one():
                    pass
            except (*TRANSIENT, OSError) as error:
                log.debug("model_check_postponed", error=type(error).__name__)
            except Exception:
                log.exception("model_check_failed")
                self._gone.wait(_PAUSE_SECONDS)

    def _answered_one(self) -> bool:
        """Take a question and answer it; return whether there was one."""
        with NO_FORK, self._database.begin() as session:
            question = repository.take(session)
            self._seconds = look_seconds(repository.online_workers(session, silent_seconds=self._silent_seconds))
        if question is None:
            return False
        check = self._check(question)
        if check is not None:
            with NO_FORK, self._database.begin() as session:
                repository.answer(session, question.key, check)
        return True

    def _check(self, question: Question) -> ModelCheck | None:
        """Build the model without weights; None if this host cannot."""
        # imports that take seconds: a worker whose children are spawned has not made them yet
        from worker.failures import JobFailure, as_failure
        from worker.process.limited_child import Limits, run_limited

        with TemporaryDirectory(prefix="dsnot-model-", ignore_cleanup_errors=True) as folder:
            SparseFiles.unpacked(question.files).write(Path(folder))
            act = partial(_facts, Path(folder))
            try:
                facts = run_limited(act, "The model's config", FailureCode.ARCHITECTURE_UNSUPPORTED, Limits(seconds=_SECONDS))
            except JobFailure as error:
                log.info("model_checked", refused=error.code)
                return None if error.code in _NO_FAULT else ModelCheck(failure=as_failure(error))
        log.info("model_checked", refused=None)
        return ModelCheck(facts=facts)


def _facts(folder: Path) -> ModelFacts:
    from worker.engine import outline

    built: Any = outline(folder)
    return ModelFacts(
        parameters=built.parameters,
        block_parameters=built.block_parameters,
        prunable_parameters=built.prunable_parameters,
        blocks=built.blocks,
        matrices=len(built.matrices),
        matrix_kinds=kinds_of((_BLOCK.sub("", name, count=1), *shape, 1) for name, shape in built.matrices),
        max_sequence_length=built.max_sequence_length,
        vocab_size=built.vocab_size,
        dtype=built.dtype,
        has_head=built.has_head,
        encoder_parameters=built.encoder_parameters,
    )
