"""Synthetic jobs, inserted into the tables in bulk, as after long operation of the service."""

from collections.abc import Callable
from itertools import product
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Double, Select, String, case, cast, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from service.contract.spec import JobSpec
from service.contract.states import EventType, JobState, Stage
from service.database.engine import Base, Database, in_seconds
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, Layer
from service.database.tables.sweeps import Sweep
from service.kit.pagination import Cursor

TENANT = "benchmark"
BODY: dict[str, Any] = {
    "model": {"id": "facebook/opt-125m", "revision": "27dcfa74d334bc871f3234de431e71c6eeba5dd6"},
    "labels": {"team": "search"},
}
"""Request for a job with a pinned model, so that the hub's time to resolve a branch is not measured."""
_WINDOWS: dict[str, Any] = {"dataset": "wikitext2:test", "windows": 140, "tokens": 286_580}
_PERPLEXITY: dict[str, Any] = {**_WINDOWS, "sequence_length": 2048, "mean_nll": 3.4, "standard_error": 0.01}
_CHANGE: dict[str, Any] = {"mean": 0.213, "standard_error": 0.002, "ci95": [0.209, 0.217]}
_METRICS: dict[str, Any] = {
    "dense": {"perplexity": [{**_PERPLEXITY, "perplexity": 27.65, "ci95": [27.1, 28.2]}], "tasks": []},
    "pruned": {
        "perplexity": [{**_PERPLEXITY, "perplexity": 34.21, "ci95": [33.5, 34.9], "loss_difference": _CHANGE}],
        "tasks": [],
    },
    "agreement": [
        {**_WINDOWS, "top1_agreement": 0.6, "top1_standard_error": 0.002, "kl_divergence": 0.4, "kl_standard_error": 0.01}
    ],
    "sparsity": 0.5,
    "coverage": 0.7,
    "parameters": 125_000_000,
    "layer_error": {"start": 0.09, "mask": 0.07, "final": 0.05},
    "warnings": [],
    "bytes": 250_000_000,
    "seconds": dict.fromkeys(Stage, 12.5),
    "peak_memory_bytes": {"host": 2_000_000_000, "device": None},
}
_SPEC = JobSpec.model_validate(BODY).model_dump(mode="json")
_KINDS = (*(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")), "fc1", "fc2")
_BLOCKS = 30
_BATCH = 100_000
"""Jobs inserted by one statement."""


def add_history(database: Database, count: int, *, every_seconds: float = 1.0) -> None:
    """Insert `count` jobs, one every `every_seconds`, the last now: 88 % succeeded, 10 % cancelled, 1 % failed, 1 % expired.

    Of 1000 jobs one is running and one is queued. None is paused.
    """

    def values(number: ColumnElement[int]) -> dict[str, Any]:
        return _ended(number, count, every_seconds)

    _add(database, values, count)


def _ended(number: ColumnElement[int], count: int, every_seconds: float) -> dict[str, Any]:
    """Build the columns of a job of a history of `count`, by its number."""
    state = case(
        (number % 10 < 8, JobState.SUCCEEDED),
        (number % 10 == 8, JobState.CANCELLED),
        (number % 100 == 9, JobState.FAILED),
        (number % 100 == 19, JobState.EXPIRED),
        (number % 1000 == 999, JobState.RUNNING),
        (number % 1000 == 29, JobState.QUEUED),
        else_=JobState.SUCCEEDED,
    )
    created_at = in_seconds((number - count).cast(Double) * every_seconds)
    waiting = state.in_((JobState.RUNNING, JobState.QUEUED))
    ended = case((waiting, None), else_=created_at)
    metrics = case((state == JobState.SUCCEEDED, _varied(number)))
    times = {"created_at": created_at, "started_at": created_at - func.make_interval(0, 0, 0, 0, 0, 0, number % 5000)}
    artifact = case((state == JobState.SUCCEEDED, number * 1000))
    spec = func.jsonb_set(literal(_SPEC, JSONB), _path("recipe", "pattern", "sparsity"), func.to_jsonb(0.3 + (number % 9) / 20.0))
    results = {"spec": spec, "metrics": metrics, "artifact_bytes": artifact}
    return {"state": state, **times, "finished_at": ended, **results}


def _varied(number: ColumnElement[int]) -> ColumnElement[Any]:
    """Metrics whose perplexity and agreement depend on the number of the job."""
    perplexity = func.to_jsonb(20 + (number * 7919 % 10_007) / 100.0)
    varied = func.jsonb_set(literal(_METRICS, JSONB), _path("pruned", "perplexity", "0", "perplexity"), perplexity)
    agreement = func.to_jsonb((number * 31 % 1000) / 1000.0)
    return func.jsonb_set(varied, _path("agreement", "0", "top1_agreement"), agreement)


def _path(*steps: str) -> ColumnElement[Any]:
    return cast(list(steps), ARRAY(String))


def add_queue(database: Database, count: int, tenants: int = 1) -> None:
    """Insert `count` queued jobs, one a second, the last of them now, all of the same priority, of several tenants in turn."""

    def values(number: ColumnElement[int]) -> dict[str, Any]:
        created_at = in_seconds((number - count).cast(Double))
        tenant = literal(TENANT) if tenants == 1 else literal(f"{TENANT} ").concat((number % tenants).cast(String))
        return {"created_at": created_at, "available_at": created_at, "tenant": tenant}

    _add(database, values, count)


def _add(database: Database, values: Callable[[ColumnElement[int]], dict[str, Any]], count: int) -> None:
    """Insert jobs with the numbers from 1 to `count`, whose `values` override those of a new job, and their first events."""
    for first in range(1, count + 1, _BATCH):
        last = min(first + _BATCH - 1, count)
        number = func.generate_series(literal(first, BigInteger), literal(last, BigInteger)).column_valued("number")
        _add_batch(database, values(number), select(number))
    _analyse(database)


def _add_batch(database: Database, values: dict[str, Any], numbers: Select[int]) -> None:
    spec = JobSpec.model_validate(BODY)
    new = {
        "id": func.gen_random_uuid(),
        "tenant": TENANT,
        "state": JobState.QUEUED,
        "spec": literal(_SPEC, JSONB),
        "model": spec.model.id,
        "labels": literal(spec.labels, JSONB),
        "priority": spec.priority,
        "max_attempts": spec.max_attempts,
        "event_seq": 1,
    }
    row = {name: value if isinstance(value, ColumnElement) else literal(value) for name, value in (new | values).items()}
    with database.begin() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        job = insert(Job).from_select(list(row), numbers.with_only_columns(*row.values())).returning(Job.id).cte("job")
        event = select(job.c.id, literal(1), literal(EventType.CREATED), literal({}, JSONB))
        session.execute(insert(JobEvent).from_select(["job_id", "seq", "type", "data"], event))


def _analyse(database: Database) -> None:
    """Update statistics and visibility map, as autovacuum does within a minute."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))


def add_layers(database: Database, job_id: UUID) -> None:
    """Insert the matrices of a job with 30 blocks."""
    measured = {"sparsity": 0.5, "error_start": 0.09, "error_mask": 0.07, "error": 0.05, "swaps": 900, "seconds": 0.4}
    size = {"rows": 768, "columns": 768, "tokens": 262_144, "stops": None}
    with database.begin() as session:
        for place, (block, kind) in enumerate(product(range(_BLOCKS), _KINDS)):
            where = {"job_id": job_id, "position": place, "name": f"model.decoder.layers.{block}.{kind}", "block": block}
            session.execute(insert(Layer), where | size | measured)


def add_details(database: Database, jobs: int) -> None:
    """Insert matrices and events of blocks of the newest ended jobs, as after runs of a model with 30 blocks."""
    data = {"block": 1, "total": _BLOCKS, "matrices": len(_KINDS), "seconds": 0.4, "resumed": False}
    peak = {"peak_memory_bytes": {"host": 2_000_000_000, "host_total": 2_100_000_000, "device": None}}
    newest = select(Job.id).where(Job.state == JobState.SUCCEEDED).order_by(Job.created_at.desc()).limit(jobs).subquery()
    numbers = func.generate_series(0, _BLOCKS * len(_KINDS) - 1).column_valued("place")
    layer: dict[str, Any] = {"job_id": newest.c.id, "position": numbers, "block": numbers // len(_KINDS)}
    layer |= {"name": func.concat("model.decoder.layers.", numbers, ".self_attn.q_proj"), "sparsity": literal(0.5)}
    layer |= {name: literal(0.07) for name in ("error_start", "error_mask", "error", "seconds")}
    layer |= {name: literal(768) for name in ("rows", "columns", "swaps", "tokens")}
    blocks = func.generate_series(2, _BLOCKS + 1).column_valued("seq")
    event = select(newest.c.id, blocks, literal(EventType.BLOCK_PRUNED), literal(data | peak, JSONB))
    with database.begin() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(insert(Layer).from_select(list(layer), select(*layer.values())))
        session.execute(insert(JobEvent).from_select(["job_id", "seq", "type", "data"], event))
    _analyse(database)


def add_running(database: Database) -> UUID:
    """Insert one job that a worker holds; return its id."""
    _add(database, lambda _number: {"state": JobState.RUNNING, "stage": Stage.PRUNING, "created_at": func.now()}, 1)
    with database.begin() as session:
        return session.execute(select(Job.id)).scalar_one()


def sweep_ids(database: Database) -> list[UUID]:
    """Return the ids of all sweeps."""
    with database.begin() as session:
        return list(session.scalars(select(Sweep.id)))


def middle_cursor(database: Database) -> str:
    """Return the cursor at which the second half of the list begins."""
    half = select(func.count() / 2).select_from(Job).scalar_subquery()
    with database.begin() as session:
        place = select(Job.created_at, Job.id).order_by(Job.created_at.desc(), Job.id.desc()).offset(half).limit(1)
        return Cursor(*session.execute(place).one().tuple()).encode()


def empty(database: Database) -> None:
    """Remove all rows but the API keys."""
    names = ", ".join(table.name for table in Base.metadata.sorted_tables if table.name != "api_keys")
    with database.begin() as session:
        session.execute(text(f"TRUNCATE {names}"))
