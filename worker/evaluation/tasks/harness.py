"""lm-evaluation-harness, run on one checkpoint. Imported only for jobs with tasks, because the import takes seconds.

The figures are those of `lm_eval.simple_evaluate(tasks=[name], batch_size=BATCH_SIZE)` with a plain `HFLM`, whose
`add_bos_token` the job can set: same seeds, requests and aggregation. Each task is a separate run, so that its figures do not
depend on the job's other tasks.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final, Protocol

import lm_eval
import numpy as np
import torch
from lm_eval.api.model import LM, CacheHook
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.models.huggingface import HFLM

from worker.inputs.whole_models import build_without_weights, load_whole

VERSION: Final[str] = lm_eval.__version__
BATCH_SIZE: Final = 8
"""Batch size; fixed, because the rounding of a product depends on it."""

Answers = Mapping[str, list[Any]]
"""Answers by type of request, in the order of the requests."""


class Watcher(Protocol):
    """Observer of a run. Any method may raise: the exception passes through and stops the run."""

    def tick(self) -> None:
        """Check for a stop; called before every batch and every generated token."""

    def answered(self) -> None:
        """Count an answer; called for every answered request."""


class WatchedModel(HFLM):  # type: ignore[misc]  # the harness has no types
    """Model of the harness that reports its progress to a watcher."""

    def __init__(self, model: Any, folder: Path, watcher: Watcher, adds_bos: bool | None = None) -> None:
        super().__init__(
            pretrained=model,
            backend="causal",  # the harness takes models with sound for encoders with a decoder
            tokenizer=str(folder),
            batch_size=BATCH_SIZE,
            trust_remote_code=False,
            add_bos_token=adds_bos,
        )
        self.set_cache_hook(_Answers(watcher))
        model.register_forward_pre_hook(lambda *_: watcher.tick())


class _Answers(CacheHook):  # type: ignore[misc]
    """Cache hook that reports every answer to the watcher: the harness passes each to its cache."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(None)
        self._watcher = watcher

    def add_partial(self, attr: str, req: Any, res: Any) -> None:  # noqa: ARG002  # the harness's protocol
        self._watcher.answered()


def load(folder: Path, device: str, watcher: Watcher, adds_bos: bool | None = None) -> WatchedModel:
    """Load the checkpoint whole onto the device, in the dtype of its file."""
    return WatchedModel(load_whole(folder, device_map={"": device}), folder, watcher, adds_bos)


def without_weights(folder: Path, watcher: Watcher, adds_bos: bool | None = None) -> WatchedModel:
    """Load the model on the meta device, to check whether the harness supports it and its tokenizer."""
    return WatchedModel(build_without_weights(folder), folder, watcher, adds_bos)


def answers(model: WatchedModel, tasks: Mapping[str, Any], limit: int | None) -> Answers:
    """Return the model's answers to tasks that `worker.evaluation.tasks.catalogue` has loaded; nothing reads them here."""
    _seed(tasks)
    requests: dict[str, list[Any]] = {}
    with quiet():
        for task in tasks["tasks"].values():
            task.build_all_requests(limit=limit, fewshot_as_multiturn=True)
            for request in task.instances:
                requests.setdefault(request.request_type, []).extend([request] * request.repeats)
            task._instances = None  # built again for the scores
        return {kind: getattr(model, kind)(asked) for kind, asked in requests.items()}


def score(given: Answers, tasks: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    """Return the harness's results for the answers of a model, which are untrusted: filters and metrics read them."""
    _seed(tasks)
    model = _Recorded(given)
    with quiet():
        found: Mapping[str, Any] = lm_eval.evaluate(model, tasks, limit=limit, log_samples=False, fewshot_as_multiturn=True)
    return found


class _Recorded(LM):  # type: ignore[misc]
    """Model of the harness that has answered before: the same requests, in the same order."""

    def __init__(self, given: Answers) -> None:
        super().__init__()
        self._given = given

    def loglikelihood(self, requests: Any) -> list[Any]:  # noqa: ARG002  # the harness's protocol, as below
        return self._given["loglikelihood"]

    def loglikelihood_rolling(self, requests: Any) -> list[Any]:  # noqa: ARG002
        return self._given["loglikelihood_rolling"]

    def generate_until(self, requests: Any) -> list[Any]:  # noqa: ARG002
        return self._given["generate_until"]


def _seed(tasks: Mapping[str, Any]) -> None:
    seed_all()
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


def seed_all() -> None:
    """Seed the random generators as `simple_evaluate` does before it loads tasks."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)  # what the harness and its tasks draw from
    torch.manual_seed(DEFAULT_OTHER_SEED)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the harness's progress bars and prints: standard error is the log, a JSON object a line."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        yield


@contextmanager
def no_fetched_code() -> Iterator[None]:
    """Disable `evaluate.load`, with which some tasks fetch the code of a metric from the hub and run it."""
    import evaluate as library

    fetch: Callable[..., Any] = library.load
    library.load = _refuse
    try:
        yield
    finally:
        library.load = fetch


def _refuse(*_: Any, **__: Any) -> Any:
    raise FetchedCode("a metric's code would be fetched and run")


class FetchedCode(Exception):
    """Attempt of a task to run code that is neither the harness's nor the operator's."""
