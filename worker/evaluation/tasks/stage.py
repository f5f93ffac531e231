"""Zero-shot tasks: set up before the pruning, so that unsupported tasks fail at once, and measured after it.

An error after the pruning is a warning, not a failure: the pruned model, which may have taken a day, is still published.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from service.contract.failures import FailureCode
from service.contract.provenance import TaskFacts
from service.contract.spec import EvaluationSpec
from service.kit.quantities import gib
from service.logging import get_logger
from service.settings import Settings
from worker.engine.activations.store import give_back_memory
from worker.engine.model.loading import choose_device
from worker.evaluation.quality import Measured, Quality
from worker.evaluation.task_results import TaskResult, results_of
from worker.failures import JobFailure, as_failure, is_device_lost
from worker.process.limited_child import Limits, run_limited
from worker.run.context import Run
from worker.run.progress import Reporter

log = get_logger(__name__)

_ADDS_BOS: Final = {"auto": None, "window": True, "stream": False}
_SCORING: Final = Limits(seconds=1800)
"""Limits for filters and metrics, which read text that a model has written."""
_MEMORY: Final = (FailureCode.OUT_OF_DEVICE_MEMORY, FailureCode.OUT_OF_HOST_MEMORY)


@dataclass(frozen=True)
class Tasks:
    """Zero-shot tasks of a job, with their data."""

    loaded: Sequence[Mapping[str, Any]] = ()
    """Tasks in the form of the harness, one entry for each name, in the job's order."""
    limit: int | None = None
    requests: int = 0
    tokens: int = 0
    """Tokens of all requests, for one model."""
    facts: Sequence[TaskFacts] = ()
    adds_bos: bool | None = None
    """Whether requests begin with a BOS; None: as the tokenizer does by itself."""


def open_tasks(model: Path, spec: EvaluationSpec, settings: Settings, reporter: Reporter) -> Tasks:
    """Load all tasks that the job names with their data, and try them out as far as possible without weights.

    Raises:
        JobFailure: `task-not-found`, `task-data-unavailable`, `task-unsupported`, or, if the whole model does not fit into
            memory, `out-of-device-memory` or `out-of-host-memory`.
    """
    if not spec.tasks:
        return Tasks()
    _check_room(model, choose_device(settings.device))
    reporter.tick()
    from worker.evaluation.tasks.catalogue import Catalogue
    from worker.evaluation.tasks.trial import Questions, Trial

    catalogue = Catalogue(spec.tasks, settings.tasks_dir, settings.cache_dir / "datasets")
    trial = Trial(model, Progress(reporter, 0), _ADDS_BOS[spec.bos])
    loaded: list[Mapping[str, Any]] = []
    asked: list[Questions] = []
    for name in spec.tasks:
        reporter.tick()
        loaded.append(catalogue.load(name, spec.few_shot))
        asked += trial.questions(loaded[-1], spec.task_limit)
    requests, tokens = sum(each.requests for each in asked), sum(each.tokens for each in asked)
    return Tasks(loaded, spec.task_limit, requests, tokens, [each.facts for each in asked], _ADDS_BOS[spec.bos])


def measure_tasks(
    run: Run, tasks: Tasks, quality: Quality, *, dense: Path, pruned: Path, known: dict[str, Any]
) -> tuple[Quality, list[str]]:
    """Return the quality with task results of both checkpoints added, and warnings; publishes each with the `known` metrics."""
    if not tasks.loaded:
        return quality, []
    paths = {"dense": dense, "pruned": pruned} if run.spec.evaluation.baseline else {"pruned": pruned}
    progress = Progress(run.reporter, tasks.requests * len(paths))
    for which, path in paths.items():
        try:
            found = run_tasks(path, tasks, device=run.settings.device, watcher=progress)
        except BaseException as error:  # the panics of Rust libraries are no Exception
            if progress.stopped_by is not None:  # even if a library has wrapped it
                raise progress.stopped_by from error
            if is_device_lost(error) or isinstance(error, SystemExit | KeyboardInterrupt):
                raise
            log.warning("tasks_not_measured", model=which, exc_info=error)
            return quality, [_not_measured(which, error)]
        finally:
            _give_back()
        measured = replace(getattr(quality, which) or Measured(), tasks=found)
        quality = replace(quality, dense=measured) if which == "dense" else replace(quality, pruned=measured)
        run.reporter.evaluated(which, known | quality.to_metrics())
    return quality, []


def run_tasks(path: Path, tasks: Tasks, *, device: str, watcher: "Progress") -> list[TaskResult]:
    """Return the results of a checkpoint, tasks in the job's order; for a group, its own result and those of its tasks.

    The answers are scored in a child with limits: patterns and metrics read text that a model of a tenant has written.
    """
    from worker.evaluation.tasks import harness

    with harness.quiet():
        model = harness.load(path, str(choose_device(device)), watcher, tasks.adds_bos)
    results: list[TaskResult] = []
    for loaded in tasks.loaded:
        given = harness.answers(model, loaded, tasks.limit)
        results += _scored_aside(given, loaded, tasks.limit)
    return results


def _scored_aside(given: Mapping[str, list[Any]], loaded: Mapping[str, Any], limit: int | None) -> list[TaskResult]:
    subject = f"What the model answers in the task {', '.join(loaded['tasks'])}"[:200]
    try:
        return run_limited(partial(_scored, given, loaded, limit), subject, FailureCode.TASK_UNSUPPORTED, _SCORING)
    except JobFailure as failure:
        # also where the host's memory ran out: else the warning would say that the model does not fit into it
        raise JobFailure(FailureCode.TASK_UNSUPPORTED, f"{failure.detail} Leave the task out of evaluation.tasks.") from failure


def _scored(given: Mapping[str, list[Any]], loaded: Mapping[str, Any], limit: int | None) -> list[TaskResult]:
    from worker.evaluation.tasks import harness

    return results_of(harness.score(given, loaded, limit), harness.VERSION)


class Progress:
    """Watcher of a job's harness runs that counts requests over all models."""

    def __init__(self, reporter: Reporter, requests: int) -> None:
        self._reporter = reporter
        self._requests = requests
        self._done = 0
        self.stopped_by: Exception | None = None
        """Exception with which the reporter has stopped the run."""

    def tick(self) -> None:
        """Raise the reporter's exception if the run has to stop."""
        self._note(self._reporter.tick)

    def answered(self) -> None:
        """Report one more answered request."""
        self._done += 1
        self._note(lambda: self._reporter.progress(self._done, max(self._done, self._requests), "requests"))

    def _note(self, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception as error:
            self.stopped_by = error
            raise


def _check_room(model: Path, device: torch.device) -> None:
    weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    if device.type == "cuda":
        place, code, room = "device", FailureCode.OUT_OF_DEVICE_MEMORY, torch.cuda.get_device_properties(device).total_memory
    else:
        place, code, room = "worker's host", FailureCode.OUT_OF_HOST_MEMORY, psutil.virtual_memory().total
    if weights > room:
        detail = (
            f"Zero-shot tasks need the whole model in memory: its weights take {gib(weights)}, and the {place} has "
            f"{gib(room)}. Leave out evaluation.tasks, or use a larger worker; the rest of the job needs one block at a time."
        )
        raise JobFailure(code, detail)


def _not_measured(which: str, error: BaseException) -> str:
    failure = as_failure(error)
    why = "the whole model does not fit into memory" if failure.code in _MEMORY else failure.detail
    return f"the zero-shot tasks could not be measured on the {which} model: {why}"


def _give_back() -> None:
    """Free the memory that the allocators still hold for a model that is no longer used."""
    give_back_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
