"""The stage that measures what pruning has cost: the dense model, if the job asks for it, and then the pruned one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from service.contract import Stage
from worker.evaluation.perplexity import evaluate
from worker.evaluation.quality import Measured, Quality
from worker.reporter import EvaluationProgress
from worker.run import Run


def measure_quality(run: Run, *, dense: Path, pruned: Path, known: dict[str, Any]) -> Quality:
    """Measure both checkpoints; what becomes known goes out with the metrics that are `known` already."""
    run.reporter.start_stage(Stage.EVALUATING)
    spec, quality = run.spec.evaluation, Quality()
    paths = {"dense": dense, "pruned": pruned} if spec.baseline else {"pruned": pruned}
    progress = EvaluationProgress(run.reporter, len(paths) * len(spec.perplexity))
    if not spec.perplexity:
        return quality
    for which, path in paths.items():
        found = Measured(evaluate(path, spec, run.texts, device=run.settings.device, observer=progress))
        quality = replace(quality, **{which: found})
        run.reporter.evaluated(which, known | quality.to_metrics())
    return quality
