"""Measured jobs of one model: presets at several sparsities, with metrics from a curve."""

import copy
import math
from typing import Any
from uuid import UUID

from service.contract.spec import JobSpec
from service.database.engine import Database
from tests.support.api_server import BODY
from tests.support.dashboard_jobs import METRICS, finished_job

MODEL = "facebook/opt-125m"
DENSE = 14.446
_QUALITY = {"fast": 2.0, "balanced": 1.0}


def measured_job(
    database: Database, preset: str | None, pattern: Any, *, loss: float | None = None, windows: int = 12, **recipe: Any
) -> UUID:
    """A succeeded job whose loss grows with the sparsity: by 0.2 nats at 50 % and twice that for every tenth more."""
    shape = pattern if isinstance(pattern, dict) else {"type": "unstructured", "sparsity": pattern}
    spec = JobSpec.model_validate({**BODY, "recipe": {"preset": preset, "pattern": shape, **recipe}})
    share = spec.recipe.pattern.pruned_share
    increase = loss if loss is not None else _QUALITY.get(preset or "", 1.5) * 0.2 * 2 ** (10 * (share - 0.5))
    metrics = copy.deepcopy(METRICS)
    metrics["pruned"]["perplexity"][0] |= {
        "perplexity": DENSE * math.exp(increase),
        "ci95": [DENSE * math.exp(increase - 0.05), DENSE * math.exp(increase + 0.05)],
        "loss_difference": {"mean": increase, "standard_error": 0.01, "ci95": [increase - 0.02, increase + 0.02]},
    }
    for model in ("dense", "pruned"):
        metrics[model]["perplexity"][0]["windows"] = windows
    return finished_job(database, blocks=1, spec=spec.model_dump(mode="json"), metrics=metrics | {"sparsity": share})


def measured_model(database: Database) -> None:
    """`fast` at 40 % and 50 %, `balanced` at 40 % to 70 % and 2:4."""
    for preset, patterns in (("fast", (0.4, 0.5)), ("balanced", (0.4, 0.5, 0.6, 0.7, {"type": "n:m", "n": 2, "m": 4}))):
        for pattern in patterns:
            measured_job(database, preset, pattern)
