"""Jobs as workers leave them, for pages to show: put into the database by hand, with all that belongs to them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text

from service.contract.spec import JobSpec
from service.contract.states import TERMINAL_STATES, EventType, JobState, Stage
from service.database.engine import Database, Session
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Layer
from service.jobs.events import repository as events
from tests.support.api_server import BODY, insert_job

KINDS = (*(f"self_attn.{part}_proj" for part in "qkvo"), *(f"mlp.{part}_proj" for part in ("gate", "up", "down")))
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202eevil\u202c{{7*7}}"
"""What nothing must run, end or turn around."""

_MANY_JOBS = """
INSERT INTO jobs (
    id, tenant, state, spec, priority, max_attempts, model, labels, created_at, started_at, finished_at, metrics, error
)
SELECT
    lpad(to_hex(number + 1), 32, '0')::uuid, 'acme', state, CAST(:spec AS jsonb), 0, 3, 'org/model-' || number % 40,
    jsonb_build_object('team', 'team-' || number % 7), created_at, created_at,
    CASE WHEN state = ANY(:ended) THEN created_at + interval '30 seconds' END,
    CASE WHEN state = 'succeeded' THEN CAST(:metrics AS jsonb) END,
    CASE WHEN state = 'failed' THEN CAST(:error AS jsonb) END
FROM generate_series(0, :count - 1) AS number,
    LATERAL (SELECT (CAST(:states AS text[]))[number % cardinality(CAST(:states AS text[])) + 1] AS state) AS states,
    LATERAL (SELECT :now - number * interval '1 minute' AS created_at) AS times
"""
"""In one statement: rows that come from the client take ten times as long."""
_MEASURED: dict[str, Any] = {"dataset": "wiki-sample", "windows": 12, "tokens": 12276}


def _quality(perplexity: float, ci95: list[float], accuracy: float, loss_difference: dict[str, Any] | None) -> dict[str, Any]:
    accuracies = {"acc": {"value": accuracy, "standard_error": 0.03}}
    figures = {
        "perplexity": perplexity,
        "mean_nll": 3.0,
        "standard_error": 0.02,
        "ci95": ci95,
        "loss_difference": loss_difference,
    }
    return {
        "perplexity": [{**_MEASURED, "sequence_length": 1024, **figures}],
        "tasks": [{"task": "arc_easy", "samples": 200, "few_shot": 0, "metrics": accuracies}],
    }


SAMPLES: dict[str, Any] = {
    "prompts": "built-in",
    "max_new_tokens": 48,
    "chat": False,
    "cached": False,
    "continuations": [
        {
            "prompt": "The water cycle begins when the sun",
            "dense": {"text": " heats the water in a river or lake, which warms the air above.", "tokens": 15, "repetition": 0.0},
            "pruned": {"text": " heats the water in a bottle, in a bottle, in a bottle.", "tokens": 14, "repetition": 0.36},
            "first_difference": 6,
            "equal_share": 0.4,
        },
        {
            "prompt": "def is_prime(number):\n",
            "dense": {"text": "    return number > 1", "tokens": 6, "repetition": 0.0},
            "pruned": {"text": "    return number > 1", "tokens": 6, "repetition": 0.0},
            "first_difference": None,
            "equal_share": 1.0,
        },
    ],
    "identical": 1,
    "equal_share": 0.7,
    "repetition": {"dense": 0.0, "pruned": 0.18},
    "tokens": {"dense": 10.5, "pruned": 10.0},
}

METRICS: dict[str, Any] = {
    "dense": _quality(14.446, [13.9, 15.0], 0.61, None),
    "pruned": _quality(25.454, [24.4, 26.5], 0.55, {"mean": 0.5665, "standard_error": 0.01, "ci95": [0.547, 0.586]}),
    "agreement": [
        {**_MEASURED, "kl_divergence": 0.4121, "kl_standard_error": 0.01, "top1_agreement": 0.641, "top1_standard_error": 0.004}
    ],
    "samples": SAMPLES,
    "sparsity": 0.5,
    "coverage": 1.0,
    "layer_error": {"start": 0.081, "mask": 0.052, "final": 0.052},
    "warnings": ["The text is short: the interval is wide."],
    "bytes": 269_060_552,
    "seconds": {"pruning": 90.1, "evaluating": 35.2},
    "peak_memory_bytes": {"host": 893_000_000, "device": None},
}


def finished_job(database: Database, *, blocks: int = 30, **values: Any) -> UUID:
    """One that has succeeded, with its matrices, its attempt and its events."""
    now = datetime.now(UTC)
    start = now - timedelta(seconds=148)
    usual: dict[str, Any] = {
        "state": JobState.SUCCEEDED,
        "metrics": METRICS,
        "attempts_started": 1,
        "attempts_counted": 1,
        "finished_at": now,
    }
    usual |= {"created_at": now - timedelta(seconds=150), "started_at": start}
    job_id = insert_job(database, **(usual | values))
    add_blocks(database, job_id, range(blocks))
    with database.begin() as session:
        attempt = Attempt(job_id=job_id, number=1, fence=1, worker="gpu-7:4711", lease_expires_at=now, outcome="succeeded")
        attempt.started_at, attempt.ended_at = start, now
        session.add(attempt)
        events.append(session, job_id, EventType.ATTEMPT_STARTED, {"attempt": 1, "worker": "gpu-7:4711"})
        for stage in Stage:
            events.append(session, job_id, EventType.STAGE_STARTED, {"stage": stage})
        events.append(session, job_id, EventType.ATTEMPT_ENDED, {"attempt": 1, "outcome": "succeeded", "detail": None})
        events.append(session, job_id, EventType.SUCCEEDED)
        _spread(session, job_id, start)
    return job_id


def _spread(session: Session, job_id: UUID, start: datetime) -> None:
    """Let the events be as far apart as in a real run."""
    for seconds, event in zip((0, 0, 1, 4, 94, 129, 148, 148), events.after(session, job_id, 0, 100), strict=True):
        event.created_at = start + timedelta(seconds=seconds)


def add_blocks(database: Database, job_id: UUID, blocks: range) -> None:
    """Matrices whose errors grow with depth."""
    rows = [_matrix(job_id, block, place, kind) for block in blocks for place, kind in enumerate(KINDS)]
    with database.begin() as session:
        session.execute(insert(Layer), rows)


def _matrix(job_id: UUID, block: int, place: int, kind: str) -> dict[str, Any]:
    where = {"job_id": job_id, "position": block * len(KINDS) + place, "name": f"model.layers.{block}.{kind}", "block": block}
    errors = {"error_start": 0.02 * (1 + block), "error_mask": 0.014 * (1 + block), "error": 0.011 * (1 + block)}
    rest = {"rows": 576, "columns": 576, "swaps": 1000 * place, "stops": None, "tokens": 16384, "seconds": 0.4}
    return where | errors | rest | {"sparsity": 0.5 + 0.02 * (place % 3)}


def many_jobs(database: Database, count: int) -> None:
    """As a tenant has them after a year: of all states, models and labels."""
    states, ended = list(JobState), [state for state in JobState if state in TERMINAL_STATES]
    error = {"code": "disk-full", "detail": "The disk is full.", "retryable": True}
    values = {
        "count": count,
        "now": datetime.now(UTC),
        "states": states,
        "ended": ended,
        "spec": JobSpec.model_validate(BODY).model_dump_json(),
        "metrics": json.dumps(METRICS),
        "error": json.dumps(error),
    }
    with database.begin() as session:
        session.execute(text(_MANY_JOBS), values)
