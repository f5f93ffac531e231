"""lm-evaluation-harness, run on one checkpoint. Imported only where tasks are asked for: it takes seconds.

The figures are those of `lm_eval.simple_evaluate(tasks=[name], batch_size=BATCH_SIZE)` with a plain `HFLM`: its seeds, its
requests, its sums. Each task is a run of its own, so that its figures do not depend on which others a job names.
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
from lm_eval.api.model import CacheHook
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoModelForCausalLM

VERSION: Final[str] = lm_eval.__version__
BATCH_SIZE: Final = 8
"""Fixed, for the rounding of a product depends on how much is computed at once."""


class Watcher(Protocol):
    """Who watches a run. Any method may raise: the exception passes through and stops the run."""

    def tick(self) -> None:
        """Called before every batch and every token that is generated."""

    def answered(self) -> None:
        """Called for every request that has its answer."""


class WatchedModel(HFLM):  # type: ignore[misc]  # the harness has no types
    """The harness's own model, which tells how far it is."""

    def __init__(self, model: Any, folder: Path, watcher: Watcher) -> None:
        super().__init__(pretrained=model, tokenizer=str(folder), batch_size=BATCH_SIZE, trust_remote_code=False)
        self.set_cache_hook(_Answers(watcher))
        model.register_forward_pre_hook(lambda *_: watcher.tick())


class _Answers(CacheHook):  # type: ignore[misc]
    """The harness hands every answer to its cache, one after the other."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(None)
        self._watcher = watcher

    def add_partial(self, attr: str, req: Any, res: Any) -> None:  # noqa: ARG002  # the harness's protocol
        self._watcher.answered()


def load(folder: Path, device: str, watcher: Watcher) -> WatchedModel:
    """The checkpoint, whole on the device and in the type of its file."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", device_map={"": device}, trust_remote_code=False, local_files_only=True, use_safetensors=True
    )
    return WatchedModel(model, folder, watcher)


def without_weights(folder: Path, watcher: Watcher) -> WatchedModel:
    """The same without its numbers, to see whether the harness can do with the model and its tokenizer at all."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return WatchedModel(model, folder, watcher)


def evaluate(model: WatchedModel, tasks: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    """The results of tasks that `worker.evaluation.tasks.catalogue` has loaded, as the harness tells them."""
    seed_all()
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    with quiet():
        found: Mapping[str, Any] = lm_eval.evaluate(model, tasks, limit=limit, log_samples=False, fewshot_as_multiturn=True)
    return found


def seed_all() -> None:
    """As `simple_evaluate` does before it loads tasks."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)  # what the harness and its tasks draw from
    torch.manual_seed(DEFAULT_OTHER_SEED)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the harness's bars and prints: standard error is the log, a JSON object a line."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        yield


@contextmanager
def no_fetched_code() -> Iterator[None]:
    """Without `evaluate.load`, with which some tasks fetch the code of a metric from the hub and run it."""
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
    """A task wants to run code that is neither the harness's nor the operator's."""
