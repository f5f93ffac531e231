"""Lookup of the tasks that a job names, and loading of their data: the operator's tasks first, then the harness's own.

A name is looked up in the harness's list and never passed to it as is, because it would read a path as a task file.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from lm_eval.tasks import TaskManager

from service.contract.failures import FailureCode
from worker.evaluation.tasks import generated_text, harness
from worker.failures import JobFailure, is_disk_full

TaskDict = Mapping[str, Any]
"""Form of the harness: `tasks` by name, and the `groups` they are in."""

_DATA_ERRORS = (OSError, DatasetsError)
"""Errors of reading data from the hub or from files; an unreachable hub is a ConnectionError."""


class Catalogue:
    """Tasks available to one job.

    Args:
        folder: the operator's tasks, if there are any.
        cache: folder for downloaded and converted data.
    """

    def __init__(self, names: Sequence[str], folder: Path | None, cache: Path) -> None:
        self._cache = cache
        self._own = TaskManager(include_path=folder, include_defaults=False) if folder else None
        own = self._own.all_subtasks if self._own else []
        self._all = None if set(names) <= set(own) else TaskManager(include_path=folder)  # reads 13 000 files
        known = self._all.task_index if self._all else own
        for name in names:
            if name not in known:
                raise JobFailure(FailureCode.TASK_NOT_FOUND, _unknown(name, known, folder))

    def load(self, name: str, few_shot: int | None) -> TaskDict:
        """Load one task with its data, or all tasks of a group.

        Raises:
            JobFailure: `task-data-unavailable`, or `task-unsupported`.
        """
        datasets.config.HF_DATASETS_CACHE = self._cache
        harness.seed_all()
        try:
            with harness.quiet(), harness.no_fetched_code():
                found = self._load(name)
        except Exception as error:  # any error of libraries, YAML files and the code in them
            raise _failure(name, error, is_own=self._is_own(name)) from error
        for task in found["tasks"].values():
            _check(task, is_own=self._is_own(name))
            _show(task, few_shot)
        return found

    def _load(self, name: str) -> TaskDict:
        """Load a task; relative data files of an operator's task are resolved against the task's folder."""
        if self._own is not None and self._is_own(name):
            entry = self._own.task_index[name]
            given = (entry.cfg or {}).get("dataset_kwargs") or {}
            if entry.yaml_path and "data_files" in given:
                files = _beside(given["data_files"], entry.yaml_path.parent)
                changed = {"task": name, "dataset_kwargs": {**given, "data_files": files}}
                found = self._own.load([{"group": "with its files", "task": [changed]}])
                return {"tasks": found["tasks"]}
            return dict(self._own.load([name]))
        assert self._all is not None
        return dict(self._all.load([name]))

    def _is_own(self, name: str) -> bool:
        return self._own is not None and name in self._own.all_subtasks


def _beside(files: Any, folder: Path) -> Any:
    """Return `data_files`, as datasets takes them, with relative paths resolved against the folder; URLs are unchanged."""
    if isinstance(files, Mapping):
        return {split: _beside(part, folder) for split, part in files.items()}
    if isinstance(files, str):
        return files if "://" in files else str(folder / files)
    return [_beside(each, folder) for each in files]


def _show(task: Any, few_shot: int | None) -> None:
    """Set the number of few-shot examples as `simple_evaluate` does: a task configured with 0 keeps it."""
    own = task.get_config("num_fewshot")
    if few_shot is not None and own != 0:
        task.set_config("num_fewshot", few_shot)
    elif own is None:
        task.set_config("num_fewshot", 0)


def _check(task: Any, *, is_own: bool) -> None:
    """Raise JobFailure (`task-unsupported`) for a task that must not run or could only fail later."""
    for reason in _reasons(task, is_own=is_own):
        raise JobFailure(FailureCode.TASK_UNSUPPORTED, f"The task {task.task_name} {reason}; leave it out of evaluation.tasks.")


def _reasons(task: Any, *, is_own: bool) -> Iterator[str]:
    if getattr(task, "UNSAFE_CODE", False):
        yield "runs code that a model has written, which is never done here"
    if getattr(task, "MULTIMODAL", False):
        yield "has pictures or sound, and only text is supported"
    metrics = getattr(task, "_metric_fn_list", {})
    if task.get_config("process_results") is None and None in metrics.values():  # the harness only logs missing metrics
        lacking = ", ".join(str(metric) for metric, function in metrics.items() if function is None)
        yield f"has a metric ({lacking}) whose code would have to be fetched from the hub, which is never done here"
    if not (is_own or generated_text.is_scored_safely(task)):
        yield "scores text that the model has written with code of its own, which could run that text"


def _failure(name: str, error: Exception, *, is_own: bool) -> Exception:
    if is_disk_full(error):
        return error
    if isinstance(error, _DATA_ERRORS):
        where = (
            "The task is in the operator's DSNOT_TASKS_DIR: its data_files must be in the same folder"
            if is_own
            else "If the hub is unreachable, the operator can put a task of this name with its data into DSNOT_TASKS_DIR "
            "(docs/guides/zero-shot-tasks.md)"
        )
        detail = f"The data of the task {name} could not be read ({type(error).__name__}). {where}."
        return JobFailure(FailureCode.TASK_DATA_UNAVAILABLE, detail)
    what = (
        "would fetch code from the hub and run it, which is never done here"
        if isinstance(error, harness.FetchedCode)
        else f"cannot be set up on this worker ({type(error).__name__})"
    )
    return JobFailure(FailureCode.TASK_UNSUPPORTED, f"The task {name} {what}; leave it out of evaluation.tasks.")


def _unknown(name: str, known: Any, folder: Path | None) -> str:
    where = "and neither has DSNOT_TASKS_DIR" if folder else "and the operator has not set DSNOT_TASKS_DIR"
    near = get_close_matches(name, list(known), n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"lm-evaluation-harness {harness.VERSION} has no task {name}, {where}.{hint}"
