"""Evaluation stage: measures the dense model, if the job requests it, and then the pruned one."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from service.contract.provenance import BosProtocol
from service.contract.states import Stage
from worker.engine.activations.store import give_back_memory
from worker.engine.model.loading import choose_device
from worker.evaluation.baselines import Baselines
from worker.evaluation.models import DenseAndPruned
from worker.evaluation.quality import Measured, Quality
from worker.evaluation.speed.stage import Speed, compare_speed
from worker.evaluation.texts import read_all
from worker.run.context import Run
from worker.run.progress import EvaluationProgress


def measure_quality(run: Run, *, dense: Path, pruned: Path, source: str, bos: BosProtocol, known: dict[str, Any]) -> Quality:
    """Measure both checkpoints; intermediate results are published together with the metrics `known` so far.

    `source` is a hash of the dense model's files, `bos` the protocol of the windows.
    """
    run.reporter.start_stage(Stage.EVALUATING)
    spec, quality = run.spec.evaluation, Quality()
    paths = {"dense": dense, "pruned": pruned} if spec.baseline else {"pruned": pruned}
    if spec.perplexity:
        both = _compared(run, dense, source, bos, EvaluationProgress(run.reporter, len(paths) * len(spec.perplexity)))
        measure = {"dense": both.dense, "pruned": both.pruned}
        for which, path in paths.items():
            found = Measured(measure[which](path))
            quality = replace(quality, dense=found) if which == "dense" else replace(quality, pruned=found)
            quality = replace(quality, agreement=both.agreement)
            run.reporter.evaluated(which, known | quality.to_metrics())
        run.reporter.spared(both.spared_tokens)
    return replace(quality, speed=_speed(run, paths.get("dense"), pruned)) if spec.speed else quality


def _compared(run: Run, dense: Path, source: str, bos: BosProtocol, progress: EvaluationProgress) -> DenseAndPruned:
    spec, settings = run.spec.evaluation, run.settings
    texts = read_all(dense, spec, run.texts, bos)
    give_back_memory()  # frees tokenizer output before activations are allocated
    return DenseAndPruned(
        texts=texts,
        agreement_windows=spec.agreement_windows,
        device=settings.device,
        scratch=run.folder / "activations",
        baselines=Baselines(settings.cache_dir, source=source, device=choose_device(settings.device)),
        progress=progress,
    )


def _speed(run: Run, dense: Path | None, pruned: Path) -> Speed:
    return compare_speed(
        dense,
        pruned,
        device=run.settings.device,
        memory=run.memory,
        two_of_four=str(run.spec.recipe.pattern) == "2:4",
        progress=partial(run.reporter.progress, unit="measurements"),
    )
