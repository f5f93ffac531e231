"""Dry run of tasks before the pruning, as far as possible without weights, which counts their requests and tokens."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lm_eval.defaults import DEFAULT_OTHER_SEED

from service.contract.failures import FailureCode
from service.contract.provenance import TaskFacts
from worker.evaluation.tasks import harness
from worker.failures import JobFailure

_AT_A_TIME: Final = 1000  # texts
_LEAVE_OUT: Final = "leave it out of evaluation.tasks"


@dataclass(frozen=True)
class Questions:
    """Workload of one task for one model."""

    requests: int
    """Requests of the harness to the model."""
    tokens: int
    """Tokens that go through the model; for generated text, only those of the prompt."""
    facts: TaskFacts


class Trial:
    """A model without weights, and its tokenizer.

    Raises:
        JobFailure: `task-unsupported`: the harness does not support them.
    """

    def __init__(self, model: Path, watcher: harness.Watcher, adds_bos: bool | None = None) -> None:
        self._tick = watcher.tick
        try:
            with harness.quiet():
                self._model = harness.without_weights(model, watcher, adds_bos)
                if self._model.prefix_token_id is None:
                    raise ValueError("a tokenizer with neither a token that begins a text nor one that ends it")
                self._model.tok_encode("A first word")
        except Exception as error:  # any error that untrusted configs and tokenizers cause in the libraries
            detail = (
                f"lm-evaluation-harness cannot run this model or tokenizer ({type(error).__name__}); leave out evaluation.tasks."
            )
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail) from error

    def questions(self, tasks: Mapping[str, Any], limit: int | None) -> list[Questions]:
        """Return the workload of each loaded task. Raises JobFailure for a task that cannot be run."""
        return [self._questions(task, limit) for task in tasks["tasks"].values()]

    def _questions(self, task: Any, limit: int | None) -> Questions:
        self._tick()
        try:
            with harness.quiet():
                task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
                task.build_all_requests(limit=limit)
        except Exception as error:  # any error of templates and the code of tasks
            raise _cannot_be_asked(task, error) from error
        asked = task.instances
        task._instances = None  # rebuilt for the evaluation; keeping them would take memory
        read = self._lengths([each.args[0] for each in asked])
        answers = [each.args[1] for each in asked if each.request_type == "loglikelihood"]
        written = [self._may_write(each.args[1]) for each in asked if each.request_type == "generate_until"]
        answered = self._lengths(answers)
        self._check_room(task, max(answered, default=0) - 1, "has answers of")
        self._check_room(task, max(written, default=0), "has the model generate")
        return Questions(sum(each.repeats for each in asked), sum(read) + sum(answered), _facts(task, asked))

    def _lengths(self, texts: list[str]) -> list[int]:
        """Return the lengths of the texts in tokens."""
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
        """Raise JobFailure if an answer does not fit into the model's context; only the text before it can be truncated."""
        if tokens >= self._model.max_length:
            detail = (
                f"The task {task.task_name} {what} {tokens} tokens, and the model takes {self._model.max_length}; {_LEAVE_OUT}."
            )
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail)


def _facts(task: Any, asked: Sequence[Any]) -> TaskFacts:
    """Return the facts of a task; the hash covers its requests (prompt and expected answer), not the files they come from."""
    digest = hashlib.sha256()
    for each in asked:
        digest.update(json.dumps(each.args, ensure_ascii=False, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return TaskFacts(task=task.task_name, questions=len({each.doc_id for each in asked}), sha256=digest.hexdigest())


def _cannot_be_asked(task: Any, error: Exception) -> JobFailure:
    shown = task.get_config("num_fewshot")
    if shown:
        detail = f"The task {task.task_name} has fewer than {shown} examples to show before its questions; set a lower few_shot."
        return JobFailure(FailureCode.INVALID_REQUEST, detail)
    detail = f"The data of the task {task.task_name} does not fit its templates ({type(error).__name__}); {_LEAVE_OUT}."
    return JobFailure(FailureCode.TASK_UNSUPPORTED, detail)
