"""Sweeps whose jobs end without a worker, with metrics from a curve."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import func, select

from service.contract.recipe.pattern import NofM, Unstructured
from service.contract.spec import JobSpec
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.dispatcher.sweeps import advance_sweeps, finish_cancellations
from service.jobs.events import repository as events
from service.settings import Settings
from tests.support.waiting import CEILING_SECONDS

DATASET = "wiki-sample:test"
TEMPLATE: dict[str, Any] = {
    "model": {"id": "facebook/opt-125m", "revision": "a" * 40},
    "calibration": {"dataset": "c4-sample", "num_samples": 4, "sequence_length": 64},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 64},
}
"""A commit's id needs no look-up at the hub."""
AXES: dict[str, list[Any]] = {"/recipe/preset": ["fast", "balanced", "best"], "/recipe/pattern/sparsity": [0.4, 0.5, 0.6, 0.7]}
GRID: dict[str, Any] = {"name": "presets and sparsities", "template": TEMPLATE, "axes": AXES}
SEARCH: dict[str, Any] = {
    "template": TEMPLATE | {"recipe": {"preset": "best"}},
    "target": {"metric": "perplexity", "at_most_increase": 0.3},
    "over": {"sparsity": [0.3, 0.8]},
}

Loss = Callable[[JobSpec], float]
_QUALITY = {"fast": 1.6, "balanced": 1.2}


def loss_increase(spec: JobSpec) -> float:
    """Increase of the loss in nats per token: a smooth curve, higher for a cheaper preset and for n:m."""
    share = spec.recipe.pattern.pruned_share
    worse = 1.3 if isinstance(spec.recipe.pattern, NofM) else 1.0
    return worse * _QUALITY.get(spec.recipe.preset or "", 1.0) * 0.25 * math.exp(9 * (share - 0.5))


def metrics_of(spec: JobSpec, increase: float, *, half_width: float = 0.0) -> dict[str, Any]:
    """Return a job's metrics with this increase of the loss."""
    common = {"dataset": DATASET, "sequence_length": 64, "windows": 20, "tokens": 1260, "mean_nll": 2.5}
    dense = {**common, "perplexity": 12.0, "ci95": [11.5, 12.5]}
    pruned = {**common, "perplexity": 12.0 * math.exp(increase), "ci95": None}
    pruned["loss_difference"] = {
        "mean": increase,
        "standard_error": half_width / 1.96,
        "ci95": [increase - half_width, increase + half_width],
    }
    share = spec.recipe.pattern.pruned_share
    return {
        "dense": {"perplexity": [dense]},
        "pruned": {"perplexity": [pruned]},
        "agreement": [{"dataset": DATASET, "windows": 4, "tokens": 252, "kl_divergence": increase / 2, "kl_standard_error": 0.001,
                       "kl_p99": 3.0, "top1_agreement": max(0.0, 1 - increase), "top1_standard_error": 0.001}],
        "sparsity": share,
        "bytes": 500_000_000,
        "weight_bytes": {"packed": int(500_000_000 * (1.05 - share))},
        "seconds": {"pruning": 40.0, "evaluating": 10.0},
    }  # fmt: skip


def end_job(database: Database, job_id: UUID, *, state: JobState = JobState.SUCCEEDED, **values: Any) -> None:
    """End a queued job as its worker would, through `running`."""
    with database.begin() as session:
        job = session.get_one(Job, job_id)
        job.state = JobState.RUNNING
        session.flush()
        job.state, job.finished_at = state, session.execute(select(func.now())).scalar_one()
        for name, value in values.items():
            setattr(job, name, value)
        session.flush()
        events.append(session, job_id, EventType(state))


def run_queued(
    database: Database, sweep_id: str, loss: Loss = loss_increase, *, half_width: float = 0.0, most: int = 1000
) -> int:
    """End up to `most` queued jobs of the sweep with the curve's metrics; return how many."""
    with database.begin() as session:
        queued = session.scalars(
            select(Job)
            .where(Job.sweep_id == UUID(sweep_id), Job.state == JobState.QUEUED)
            .order_by(Job.sweep_position)
            .limit(most)
        ).all()
    for job in queued:
        spec = JobSpec.model_validate(job.spec)
        metrics = metrics_of(spec, loss(spec), half_width=half_width)
        end_job(database, job.id, metrics=metrics, artifact_prefix=f"jobs/{job.id}/1", artifact_bytes=metrics["bytes"])
    return len(queued)


def dispatch(database: Database, settings: Settings) -> None:
    """Advance sweeps as the dispatcher does."""
    finish_cancellations(database)
    advance_sweeps(database, settings)


def run_to_end(
    api: httpx.Client,
    database: Database,
    settings: Settings,
    sweep_id: str,
    loss: Loss = loss_increase,
    *,
    half_width: float = 0.0,
) -> dict[str, Any]:
    """Run the sweep's jobs and the dispatcher until the sweep has ended; return it."""
    for _ in range(40):
        run_queued(database, sweep_id, loss, half_width=half_width)
        dispatch(database, settings)
        sweep: dict[str, Any] = api.get(f"/v1/sweeps/{sweep_id}").json()
        if sweep["finished_at"]:
            return sweep
    raise AssertionError(f"the sweep has not ended: {sweep}")


@contextmanager
def running_sweeps(database: Database, settings: Settings, *, pause: float = 0.02) -> Iterator[None]:
    """Run jobs of all sweeps, one at a time, and the dispatcher, in a thread."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(pause):
            with database.begin() as session:
                sweep_ids = session.scalars(select(Sweep.id)).all()
            for sweep_id in sweep_ids:
                run_queued(database, str(sweep_id), most=1)
            dispatch(database, settings)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(CEILING_SECONDS)


def sparsity_of(point: dict[str, Any]) -> float:
    """Return the sparsity that a point of a search sets."""
    return Unstructured.model_validate(point["values"]["/recipe/pattern"]).sparsity
