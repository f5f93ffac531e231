"""The stage that measures what pruning has cost: the dense model, if the job asks for it, and then the pruned one."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from service.contract import Stage
from service.contract.recipe import NofM
from worker.evaluation.perplexity import evaluate
from worker.evaluation.quality import Measured, Quality
from worker.evaluation.speed import Speed, compare_speed
from worker.reporter import EvaluationProgress
from worker.run import Run


def measure_quality(run: Run, *, dense: Path, pruned: Path, known: dict[str, Any]) -> Quality:
    """Measure both checkpoints; what becomes known goes out with the metrics that are `known` already."""
    run.reporter.start_stage(Stage.EVALUATING)
    spec, quality = run.spec.evaluation, Quality()
    paths = {"dense": dense, "pruned": pruned} if spec.baseline else {"pruned": pruned}
    progress = EvaluationProgress(run.reporter, len(paths) * len(spec.perplexity))
    if spec.perplexity:
        for which, path in paths.items():
            found = Measured(evaluate(path, spec, run.texts, device=run.settings.device, observer=progress))
            quality = replace(quality, dense=found) if which == "dense" else replace(quality, pruned=found)
            run.reporter.evaluated(which, known | quality.to_metrics())
    return replace(quality, speed=_speed(run, paths.get("dense"), pruned)) if spec.speed else quality


def _speed(run: Run, dense: Path | None, pruned: Path) -> Speed:
    pattern = run.spec.recipe.pattern
    return compare_speed(
        dense,
        pruned,
        device=run.settings.device,
        memory=run.memory,
        two_of_four=isinstance(pattern, NofM) and (pattern.n, pattern.m) == (2, 4),
        progress=partial(run.reporter.progress, unit="measurements"),
    )
