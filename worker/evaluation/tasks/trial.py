"""Dry run of tasks before the pruning, as far as possible without weights, which counts their requests and tokens."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lm_eval.defaults import DEFAULT_OTHER_SEED

from service.contract.bounded_json import walk
from service.contract.failures import FailureCode
from service.contract.provenance import TaskFacts
from worker.evaluation.tasks import harness
from worker.failures import JobFailure
from worker.inputs.tokenization import token_counts
from worker.process.limited_child import run_limited

_LEAVE_OUT: Final = "leave it out of evaluation.tasks"


@dataclass(frozen=True)
class Questions:
    """Workload of one task for one model."""

    requests: int
    """Requests of the harness to the model."""
    tokens: int
    """Tokens that go through the model; for generated text, only those of the prompt."""
    facts: TaskFacts


@dataclass(frozen=True)
class _Lengths:
    """Limits of a model in tokens, as the harness takes them."""

    context: int
    generated: int
    """Limit of a generated text, where the task has none."""
    decodes_by_pattern: bool
    """Whether the tokenizer applies regular expressions to text that the model writes."""


class Trial:
    """A model without weights, and its tokenizer, which are untrusted: both are loaded and run in children with limits.

    What has passed here is loaded again by `harness.load`, in the process of the job, from the same files.

    Raises:
        JobFailure: `task-unsupported`: the harness does not support them; `model-unsafe`: they crash or exceed the limits.
    """

    def __init__(self, model: Path, watcher: harness.Watcher, adds_bos: bool | None = None) -> None:
        self._path = model
        self._tick = watcher.tick
        act = partial(_try_out, model, watcher, adds_bos)
        self._lengths = run_limited(act, "The model's config or tokenizer", FailureCode.MODEL_UNSAFE)

    def questions(self, tasks: Mapping[str, Any], limit: int | None) -> list[Questions]:
        """Return the workload of each loaded task. Raises JobFailure for a task that cannot be run."""
        built = [(task, self._requests(task, limit)) for task in tasks["tasks"].values()]
        counts = iter(token_counts(self._path, [text for _, requests in built for each in requests for text in _texts(each)]))
        return [self._questions(task, requests, counts) for task, requests in built]

    def _requests(self, task: Any, limit: int | None) -> Sequence[Any]:
        self._tick()
        try:
            with harness.quiet():
                task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
                task.build_all_requests(limit=limit)
        except Exception as error:  # any error of templates and the code of tasks
            raise _cannot_be_asked(task, error) from error
        requests: Sequence[Any] = task.instances
        task._instances = None  # rebuilt for the evaluation; keeping them would take memory
        return requests

    def _questions(self, task: Any, requests: Sequence[Any], counts: Iterator[int]) -> Questions:
        """Return the workload of a task; `counts` are the tokens of its requests' texts."""
        tokens = [[next(counts) for _ in _texts(each)] for each in requests]
        answers = [count for _, *of_answer in tokens for count in of_answer]
        written = [self._may_write(each.args[1]) for each in requests if each.request_type == "generate_until"]
        if written and self._lengths.decodes_by_pattern:
            why = "has the model write text, which a regular expression of its tokenizer's decoder could read for any time"
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, f"The task {task.task_name} {why}; {_LEAVE_OUT}.")
        self._check_room(task, max(answers, default=0) - 1, "has answers of")
        self._check_room(task, max(written, default=0), "has the model generate")
        return Questions(sum(each.repeats for each in requests), sum(map(sum, tokens)), _facts(task, requests))

    def _may_write(self, settings: Mapping[str, Any]) -> int:
        tokens: int = settings.get("max_gen_toks", self._lengths.generated)
        return tokens

    def _check_room(self, task: Any, tokens: int, what: str) -> None:
        """Raise JobFailure if an answer does not fit into the model's context; only the text before it can be truncated."""
        if tokens >= self._lengths.context:
            detail = (
                f"The task {task.task_name} {what} {tokens} tokens, and the model takes {self._lengths.context}; {_LEAVE_OUT}."
            )
            raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail)


def _try_out(folder: Path, watcher: harness.Watcher, adds_bos: bool | None) -> _Lengths:
    """Load the model without weights and its tokenizer as the harness does, and use the tokenizer."""
    try:
        with harness.quiet():
            model = harness.without_weights(folder, watcher, adds_bos)
            if model.prefix_token_id is None:
                raise ValueError("a tokenizer with neither a token that begins a text nor one that ends it")
            model.tok_decode(model.tok_encode("A first word"))
    except MemoryError:
        raise
    except Exception as error:  # any error that untrusted configs and tokenizers cause in the libraries
        detail = f"lm-evaluation-harness cannot run this model or tokenizer ({type(error).__name__}); leave out evaluation.tasks."
        raise JobFailure(FailureCode.TASK_UNSUPPORTED, detail) from error
    return _Lengths(model.max_length, model.max_gen_toks, _decodes_by_pattern(model.tokenizer))


def _decodes_by_pattern(tokenizer: Any) -> bool:
    """Return whether a decoder has a regular expression; generated text is decoded in the job's process, without limits."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str()).get("decoder") if backend is not None else None
    return any(key == "Regex" for key, _ in walk(decoder))


def _texts(request: Any) -> Sequence[str]:
    """Return the texts of a request: its prompt, and the expected answer whose probability is read."""
    texts: Sequence[str] = request.args[: 2 if request.request_type == "loglikelihood" else 1]
    return texts


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
