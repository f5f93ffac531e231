"""Samples of both models: prompts are checked before the pruning, and continued after it.

An error after the pruning is a warning, not a failure: the pruned model, which may have taken a day, is still published.
"""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any, Final

from service.contract.failures import FailureCode
from service.contract.provenance import BosProtocol
from service.jobs.attempts.repository import StaleFence
from service.logging import get_logger
from worker.engine import Outline
from worker.engine.model.loading import choose_device
from worker.engine.output.journal import generation_key
from worker.evaluation.dense_cache import DenseCache
from worker.evaluation.samples.generation import VERSION, generate
from worker.evaluation.samples.metrics import Samples, sample_of, samples_of
from worker.evaluation.samples.prompts import Prompts, decode, open_prompts
from worker.failures import JobFailure, as_failure, is_device_lost
from worker.inputs.whole_models import DeviceTooSmall
from worker.run.context import Run
from worker.run.lease import Interruption

log = get_logger(__name__)

_NOT_MADE: Final = "the samples could not be generated"


def open_samples(
    run: Run, model: Path, plan: Outline, *, weight_bytes: int, bos: BosProtocol
) -> tuple[Prompts | None, list[str]]:
    """Return the job's prompts as tokens, None if it generates no samples of this model, and warnings.

    Raises as `open_prompts`, unless the samples may be omitted.
    """
    spec = run.spec.evaluation.samples
    if spec is None or not plan.has_head or not spec.are_taken_of(weight_bytes):
        return None, []
    run.reporter.tick()
    try:
        return open_prompts(model, spec, context=plan.max_sequence_length, bos=bos), []
    except JobFailure as failure:
        if failure.code is FailureCode.INVALID_REQUEST and spec.may_be_omitted:
            return None, [f"{_NOT_MADE}: {failure.detail}"]
        raise


def take_samples(
    run: Run, prompts: Prompts | None, *, dense: Path, pruned: Path, source: str
) -> tuple[Samples | None, list[str]]:
    """Return the samples and warnings; `source` is a hash of the dense model's files."""
    if prompts is None:
        return None, []
    try:
        return _taken(run, prompts, dense, pruned, source), []
    except (Interruption, StaleFence):
        raise
    except DeviceTooSmall as error:
        return None, [f"{_NOT_MADE}: {error}"]
    except Exception as error:
        if is_device_lost(error):
            raise
        log.warning("samples_not_generated", exc_info=error)
        failure = as_failure(error)
        is_known = failure.code is not FailureCode.INTERNAL
        return None, [f"{_NOT_MADE}: {failure.detail if is_known else f'transformers failed ({type(error).__name__})'}"]


def _taken(run: Run, prompts: Prompts, dense: Path, pruned: Path, source: str) -> Samples:
    spec, device = prompts.spec, run.settings.device
    per_model, with_dense = sum(prompts.new_tokens), run.spec.evaluation.baseline
    total = per_model * (2 if with_dense else 1)
    tokens, cached = [], False
    if with_dense:
        found, cached = _of_dense(run, prompts, dense, source, total)
        tokens.append(found)
    report = partial(_report, run, per_model if with_dense else 0, total)
    tokens.append(generate(pruned, prompts, device, report))
    texts = decode(dense, prompts, tokens)
    made = [
        sample_of(prompt, [of[place] for of in texts], [of[place] for of in tokens]) for place, prompt in enumerate(prompts.texts)
    ]
    name = "built-in" if spec.prompts is None else hashlib.sha256(json.dumps(spec.prompts).encode()).hexdigest()[:12]
    return samples_of(made, prompts=name, max_new_tokens=spec.max_new_tokens, chat=spec.chat, cached=cached)


def _of_dense(run: Run, prompts: Prompts, path: Path, source: str, total: int) -> tuple[list[list[int]], bool]:
    """Return the dense model's tokens, and whether an earlier job on this host has generated them."""
    device = run.settings.device
    asked = [list(prompts.tokens), list(prompts.new_tokens), VERSION]
    key = generation_key(source=source, prompts=json.dumps(asked), device=choose_device(device))
    cache = DenseCache(run.settings.cache_dir, "continuations")
    known = cache.find(key)
    if _are_tokens(known, prompts):
        run.reporter.spared(prompts.spec.work(with_dense=False))
        return known, True
    found = generate(path, prompts, device, partial(_report, run, 0, total))
    cache.keep(key, found)
    return found, False


def _are_tokens(value: Any, prompts: Prompts) -> bool:
    is_whole = isinstance(value, list) and len(value) == len(prompts.texts)
    return is_whole and all(isinstance(each, list) and all(type(token) is int for token in each) for each in value)


def _report(run: Run, before: int, total: int, done: int) -> None:
    run.reporter.progress(before + done, total, "tokens")
