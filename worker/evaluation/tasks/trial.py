"""Trying tasks out before the pruning, as far as that goes without weights, and counting how much there is to do in them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lm_eval.defaults import DEFAULT_OTHER_SEED

from service.contract import FailureCode, TaskFacts
from worker.evaluation.tasks import harness
from worker.failures import JobFailure

_AT_A_TIME: Final = 1000  # texts
_LEAVE_OUT: Final = "leave it out of evaluation.tasks"


@dataclass(frozen=True)
class Questions:
    """Of one task, to one model."""

    requests: int
    """The answers that the harness asks the model for."""
    tokens: int
    """That go through the model; of texts that it is to write, those that it is given."""
    facts: TaskFacts


class Trial:
    """A model without weights, and its tokenizer.

    Raises:
        JobFailure: `task-unsupported`: the harness can do nothing with them.
    """

    def __init__(self, model: Path, watcher: harness.Watcher) -> None:
        self._tick = watcher.tick
        try:
            with harness.quiet():
                self._model = harness.without_weights(model, watcher)
                if self._model.prefix_token_id is None:
                    raise ValueError("a tokenizer with neither a token that begins a text nor one that ends it")
                self._model.tok_encode("A first word")
        except Exception as error:  # whatever strangers' configs and tokenizers make the libraries raise
            detail = (
                f"The model or its tokenizer cannot be run by lm-evaluation-harness ({type(error).__name__}); leave out tasks."
            )
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail) from error

    def questions(self, tasks: Mapping[str, Any], limit: int | None) -> list[Questions]:
        """Of each of the loaded tasks. Raises JobFailure for one that cannot be asked."""
        return [self._questions(task, limit) for task in tasks["tasks"].values()]

    def _questions(self, task: Any, limit: int | None) -> Questions:
        self._tick()
        try:
            with harness.quiet():
                task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
                task.build_all_requests(limit=limit)
        except Exception as error:  # whatever templates and the code of tasks raise
            raise _cannot_be_asked(task, error) from error
        asked = task.instances
        task._instances = None  # they are built again when they are asked, and take memory until then
        read = self._lengths([each.args[0] for each in asked])
        answers = [each.args[1] for each in asked if each.request_type == "loglikelihood"]
        written = [self._may_write(each.args[1]) for each in asked if each.request_type == "generate_until"]
        answered = self._lengths(answers)
        self._check_room(task, max(answered, default=0) - 1, "has answers of")
        self._check_room(task, max(written, default=0), "has the model write")
        return Questions(sum(each.repeats for each in asked), sum(read) + sum(answered), _facts(task, asked))

    def _lengths(self, texts: list[str]) -> list[int]:
        """In tokens."""
        lengths: list[int] = []
        for start in range(0, len(texts), _AT_A_TIME):
            self._tick()
            given = self._model.tokenizer(texts[start : start + _AT_A_TIME], add_special_tokens=False, verbose=False)
            lengths += map(len, given["input_ids"])
        return lengths

    def _may_write(self, settings: Mapping[str, Any]) -> int:
        tokens: int = settings.get("max_gen_toks", self._model.max_gen_toks)
        return tokens

    def _check_room(self, task: Any, tokens: int, what: str) -> None:
        """What is read before is cut off where it is too long; the rest has to fit."""
        if tokens >= self._model.max_length:
            detail = (
                f"The task {task.task_name} {what} {tokens} tokens, and the model takes {self._model.max_length}; {_LEAVE_OUT}."
            )
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail)


def _facts(task: Any, asked: Sequence[Any]) -> TaskFacts:
    """The hash is over what the model is given and what is looked for in its answer, not over the files that they come from."""
    digest = hashlib.sha256()
    for each in asked:
        digest.update(json.dumps(each.args, ensure_ascii=False, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return TaskFacts(task=task.task_name, questions=len({each.doc_id for each in asked}), sha256=digest.hexdigest())


def _cannot_be_asked(task: Any, error: Exception) -> JobFailure:
    shown = task.get_config("num_fewshot")
    if shown:
        detail = f"The task {task.task_name} has no {shown} examples to show before its questions; set a lower few_shot."
        return JobFailure(FailureCode.INVALID_REQUEST, detail)
    detail = f"The questions of the task {task.task_name} do not fit its templates ({type(error).__name__}); {_LEAVE_OUT}."
    return JobFailure(FailureCode.TASK_UNSUPPORTED, detail)
