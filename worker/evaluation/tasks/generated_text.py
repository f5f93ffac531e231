"""Allow-list of the harness's tasks whose model writes text: a tenant's model could write code for a scorer that evaluates it.

The harness marks only some of these tasks as unsafe: scorers of mathematics tasks hand answers to parsers that evaluate them.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import lm_eval
from lm_eval.api.task import ConfigurableTask

_SCORES_ONLY: Final = ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
"""Types of tasks that read probabilities of given texts; the model writes nothing."""
HARNESS: Final = Path(lm_eval.__file__).parent
REVIEWED: Final = tuple(HARNESS / place for place in ("api", "filters", "tasks/bbh", "tasks/coqa", "tasks/drop"))
"""Folders of the harness whose code compares generated text and evaluates none."""


def is_scored_safely(task: Any) -> bool:
    """Return whether the model writes no text, or only reviewed code reads what it writes."""
    return task.OUTPUT_TYPE in _SCORES_ONLY or (type(task) is ConfigurableTask and all(map(_is_reviewed, _scorers(task))))


def _scorers(task: Any) -> Iterator[Any]:
    """Yield everything that reads the model's text: filters, and functions for results, metrics and aggregation."""
    for pipeline in task._filters:
        for step in pipeline.filters:
            yield from (step, *filter(callable, step.keywords.values())) if isinstance(step, partial) else (step,)
    if (process_results := task.get_config("process_results")) is not None:
        yield process_results
        yield from task._aggregation_list.values()
        return
    yield from (*task._metric_fn_list.values(), *task._aggregation_list.values())


def _is_reviewed(scorer: Any) -> bool:
    scorer = scorer.func if isinstance(scorer, partial) else scorer
    methods = [each for each in vars(scorer).values() if isinstance(each, FunctionType)] if isinstance(scorer, type) else [scorer]
    files = {Path(code.co_filename) for each in methods if (code := getattr(each, "__code__", None))}
    return bool(files) and all(any(file.is_relative_to(folder) for folder in REVIEWED) for file in files)
