"""Pipeline of a run: resolve, load, prune, evaluate, publish.

Model, recipe, sequence lengths and all texts are validated before the expensive stages begin.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.contract.artifacts import Manifest
from service.contract.disk import written_bytes
from service.contract.failures import FailureCode
from service.contract.judging import judged
from service.contract.provenance import Provenance
from service.contract.spec import JobSpec, without_head
from service.contract.states import Stage
from service.contract.work import Work
from service.kit.quantities import gib
from service.logging import get_logger
from worker.engine import Outline, SparsityReport, evaluate, outline, sparsify
from worker.engine.activations.store import give_back_memory
from worker.engine.model.finite_ends import check_ends
from worker.engine.model.loading import choose_device
from worker.evaluation.baselines import Baselines
from worker.evaluation.bos import BosChoice, choose, stream_and_length, with_heads
from worker.evaluation.quality import Quality
from worker.evaluation.samples.prompts import Prompts
from worker.evaluation.samples.stage import open_samples, take_samples
from worker.evaluation.stage import measure_quality
from worker.evaluation.tasks.stage import Tasks, measure_tasks, open_tasks
from worker.evaluation.texts import windows_of
from worker.failures import JobFailure
from worker.inputs.datasets import shared_text
from worker.inputs.models import Model, resolve
from worker.inputs.provenance import provenance_of
from worker.inputs.tokenization import TokenizedText, calibration_windows, tokenize
from worker.process.limited_child import run_limited
from worker.publishing.artifact import Weights, describe, publish
from worker.publishing.formats import write_formats
from worker.publishing.hub.upload import upload_to_hub, warnings_of
from worker.publishing.outcome import Costs, Outcome
from worker.publishing.signing import key_facts, sign
from worker.run.context import Run
from worker.run.progress import EvaluationProgress

log = get_logger(__name__)


def prune_and_publish(run: Run) -> dict[str, Any]:
    """Run the job up to its complete artifact in the store; return the job's metrics.

    Raises:
        worker.run.lease.Interruption: the run has to stop.
        Exception: any failure; `worker.failures.as_failure` converts it for the user.
    """
    model, plan = _resolve(run)
    tokens, bos, tasks, prompts, warnings = _load(run, model, plan)
    pruned = run.folder / "pruned"
    report = _prune(run, model, tokens, pruned)
    warned = [*report.warnings, *model.notes, *warnings]
    known: dict[str, Any] = {
        "sparsity": report.sparsity,
        "coverage": report.coverage,
        "parameters": plan.parameters,
        "layer_error": {"start": report.total.error_start, "mask": report.total.error_mask, "final": report.total.error},
        "bos": bos.to_metrics(),
        "warnings": warned,
    }
    quality = measure_quality(run, dense=model.path, pruned=pruned, source=report.source, bos=bos.evaluation, known=known)
    samples, unsampled = take_samples(run, prompts, dense=model.path, pruned=pruned, source=report.source)
    quality, troubles = measure_tasks(run, tasks, replace(quality, samples=samples), dense=model.path, pruned=pruned, known=known)
    known["warnings"] = [*warned, *unsampled, *troubles]
    provenance = provenance_of(run.spec, model, run.texts.seen, tasks.facts, bos=bos.calibration, device=run.settings.device)
    manifest = _publish(run, model, report, quality, provenance, pruned, known["warnings"])
    hub = upload_to_hub(run, pruned)
    run.reporter.end_stage()
    measured = quality.to_metrics() | known
    return {
        **measured,
        "gates": [result.model_dump(mode="json") for result in judged(run.spec.evaluation.gates, measured)],
        "warnings": [*known["warnings"], *warnings_of(hub, run.job_id)],
        "hub": hub,
        "bytes": sum(file.bytes for file in manifest.files),
        "weight_bytes": manifest.weight_bytes and manifest.weight_bytes.model_dump(),
        "seconds": run.reporter.active_seconds(),
        "engine_seconds": {part: round(seconds, 3) for part, seconds in report.seconds.items()},
        "peak_memory_bytes": run.memory.read(),
    }


def _resolve(run: Run) -> tuple[Model, Outline]:
    run.reporter.start_stage(Stage.RESOLVING)
    if run.settings.signing_key:
        key_facts(run.settings.signing_key)  # fails now if the key could not sign hours later
    model = resolve(run.spec.model, run.settings, tenant=run.tenant, store=run.store, tick=run.reporter.tick)
    if run.spec.model.source == "hub" and model.revision:
        run.reporter.model_resolved(model.revision)
    plan = run_limited(partial(outline, model.path), "The model's config", FailureCode.ARCHITECTURE_UNSUPPORTED)
    _check_fit(run.spec, plan)
    _check_disk(run, model, plan)
    return model, plan


def _check_disk(run: Run, model: Model, plan: Outline) -> None:
    """Raise JobFailure (`disk-full`) if the disk cannot hold a copy of the checkpoint, its finished blocks and its formats."""
    copy = _bytes_of(model)
    prunable = round(copy * plan.prunable_parameters / plan.parameters)
    needed = written_bytes(run.spec, weights=copy, prunable=prunable)
    free = shutil.disk_usage(run.folder).free
    if needed > free:
        detail = (
            f"The pruned checkpoint in its formats and its finished blocks need {gib(needed)} of the worker's disk, "
            f"and {gib(free)} are free."
        )
        raise JobFailure(FailureCode.DISK_FULL, detail)


def _bytes_of(model: Model) -> int:
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors"))


def _load(run: Run, model: Model, plan: Outline) -> tuple[Tensor, BosChoice, Tasks, Prompts | None, list[str]]:
    """Return calibration tokens (samples, length), protocols of BOS, zero-shot tasks, prompts and warnings.

    Evaluation texts are only checked.
    """
    run.reporter.start_stage(Stage.LOADING)
    calibration, evaluation = run.spec.calibration, run.spec.evaluation
    _check_length("calibration", calibration.sequence_length, plan)
    if evaluation.perplexity:
        _check_length("evaluation", evaluation.sequence_length, plan)
    calibrated = run.texts.read(calibration.dataset)
    text = tokenize(model.path, calibrated)
    bos = _choose_bos(run, model, plan, text)
    stream, length = stream_and_length(text, calibration.sequence_length, bos.calibration)
    tokens = with_heads(calibration_windows(stream, calibration.num_samples, length, calibration.seed), text, bos.calibration)
    tasks = open_tasks(model.path, evaluation, run.settings, run.reporter)
    prompts, unsampled = open_samples(run, model.path, plan, weight_bytes=_bytes_of(model), bos=bos.evaluation)
    warnings, evaluated_tokens, used = [], tasks.tokens, [torch.unique(tokens)]
    for reference in evaluation.perplexity:
        run.reporter.tick()
        evaluated = run.texts.read(reference)
        windows = windows_of(model.path, reference, evaluated, evaluation, bos.evaluation).windows
        evaluated_tokens += windows.numel()
        used.append(torch.unique(windows))
        warnings.append(shared_text(calibration.dataset, calibrated, reference, evaluated))
    check_ends(model.path, torch.cat(used), with_head=bool(run.spec.uses_of_head()))
    evaluated_tokens *= 2 if evaluation.baseline else 1
    evaluated_tokens += prompts.spec.work(with_dense=evaluation.baseline) if prompts else 0
    run.reporter.sized(_work(model, plan, tokens, evaluated_tokens))
    del text, stream, calibrated
    give_back_memory()  # frees texts and tokenizer output before activations are allocated
    return tokens, bos, tasks, prompts, [*unsampled, *filter(None, warnings)]


def _choose_bos(run: Run, model: Model, plan: Outline, text: TokenizedText) -> BosChoice:
    """Choose whether windows get a BOS; measure the dense model if that decides, once per revision and host."""
    calibration, evaluation, settings = run.spec.calibration, run.spec.evaluation, run.settings
    revision = f"{run.spec.model.source}:{model.id}@{model.revision}"
    cache = Baselines(settings.cache_dir, source=revision, device=choose_device(settings.device))

    def losses(windows: Tensor) -> Tensor:
        if (known := cache.find(windows)) is not None:
            return known
        scratch, observer = run.folder / "activations", EvaluationProgress(run.reporter, 1)
        found = evaluate(model.path, windows, device=settings.device, observer=observer, scratch=scratch)
        if found.is_repeatable:
            cache.keep(windows, found.perplexity.losses)
        return torch.tensor(found.perplexity.losses, dtype=torch.float64)

    return choose(
        text,
        calibration=calibration.bos,
        evaluation=evaluation.bos,
        longest=calibration.sequence_length,
        losses=losses if plan.has_head else None,
    )


def _work(model: Model, plan: Outline, tokens: Tensor, evaluated_tokens: int) -> Work:
    return Work(
        parameters=plan.parameters,
        block_parameters=plan.block_parameters,
        calibration_tokens=tokens.numel(),
        evaluated_tokens=evaluated_tokens,
        bytes=_bytes_of(model),
        blocks=plan.blocks,
    )


def _check_fit(spec: JobSpec, plan: Outline) -> None:
    """Raise JobFailure (`invalid-request`) if no matrix fits the pattern, or a head is needed and missing."""
    if not any(spec.recipe.pattern.fits(width) for _, (_, width) in plan.matrices):
        raise JobFailure(FailureCode.INVALID_REQUEST, f"The pattern {spec.recipe.pattern} fits no matrix of the model.")
    if not plan.has_head and (uses := spec.uses_of_head()):
        raise JobFailure(FailureCode.INVALID_REQUEST, without_head(uses))


def _check_length(use: str, length: int, plan: Outline) -> None:
    if plan.max_sequence_length is not None and length > plan.max_sequence_length:
        detail = f"{use}.sequence_length is {length}, and the model takes at most {plan.max_sequence_length} tokens."
        raise JobFailure(FailureCode.INVALID_REQUEST, detail)


def _prune(run: Run, model: Model, tokens: Tensor, pruned: Path) -> SparsityReport:
    run.reporter.start_stage(Stage.PRUNING)
    journal = run.blocks.journal(run.reporter.tick)
    return sparsify(
        model.path,
        pruned,
        run.spec.recipe,
        tokens,
        device=run.settings.device,
        observer=run.reporter,
        journal=journal,
        scratch=run.folder / "activations",
    )


def _publish(
    run: Run,
    model: Model,
    report: SparsityReport,
    quality: Quality,
    provenance: Provenance,
    pruned: Path,
    warnings: Sequence[str],
) -> Manifest:
    run.reporter.start_stage(Stage.PUBLISHING)
    tick, progress = run.reporter.tick, partial(run.reporter.progress, unit="bytes")
    sizes = write_formats(pruned, spec=run.spec, model=model, tick=tick)
    costs = Costs(run.reporter.active_seconds(), report.seconds, run.memory.read())
    outcome = Outcome(run.spec, model, report, quality, sizes, provenance, warnings, costs)
    describe(pruned, outcome, tick)
    key = run.settings.signing_key
    weights = Weights(run.spec.output.formats, sizes, provenance, sign(pruned, key) if key else None)
    manifest = publish(pruned, run.store, job_id=run.job_id, fence=run.fence, weights=weights, progress=progress, tick=tick)
    log.info("artifact_published", files=len(manifest.files), bytes=sum(file.bytes for file in manifest.files))
    return manifest
