"""Measure the service after a long operation at 10,000 jobs a day: sizes, lists, pages, claims, and retention that catches up.

    python -m benchmarks.growth --out benchmarks/results/growth

The jobs are rows that no worker has run; matrices and the events of blocks are inserted for one day of them. Servers and load
share the machine.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import func, select, text

from benchmarks import _pages, _rows
from benchmarks._claims import claims
from benchmarks._figures import Figure, aiming, latencies, markdown, refused
from benchmarks._load import requests
from benchmarks._machine import about
from benchmarks._servers import Servers, running, version_of_database
from service.database.engine import Base, Database, table_of
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job, Layer
from service.dispatcher.garbage_collection import GarbageCollector
from service.settings import Settings

_A_DAY: Final = 10_000
_DAY_SECONDS: Final = 86_400.0
_LISTS: Final[dict[str, dict[str, Any]]] = {
    "first page": {},
    "state in 1 of 1000": {"state": "running"},
    "label in none": {"label.team": "none"},
    "model in none": {"model": "none"},
    "sorted by perplexity": {"sort": "perplexity"},
    "sorted by size": {"sort": "-size"},
    "sorted by name": {"sort": "name"},
    "text in labels": {"q": "team=sea"},
    "text in none": {"q": "nowhere"},
    "preset in none": {"preset": "best"},
}


def main() -> None:
    """Insert the rows, measure, and write the figures after every measurement."""
    options = _options()
    figures: list[Figure] = []
    with running(max_queued_jobs=10_000, processes=1) as servers:
        database = Database(servers.database_url, answer_seconds=600)
        setting = about(("sqlalchemy", "psycopg")) | {
            "database": f"PostgreSQL {version_of_database(database)}, as `dsnot up` starts it",
            "rows": f"{options.jobs} jobs, {_A_DAY} a day; matrices and block events of {options.detailed} jobs",
        }
        for measure in (filling, listing, showing, claiming, forgetting):
            for figure in measure(servers, database, options):
                print(json.dumps(figure), flush=True)
                figures.append(figure)
                options.out.with_suffix(".json").write_text(json.dumps({"about": setting, "figures": figures}, indent=1) + "\n")
                options.out.with_suffix(".md").write_text(markdown(setting, figures, "Growth"))
        database.close()


def filling(_servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Insert the rows; yield what each table grows by, with its indexes, per job."""
    began = time.monotonic()
    _rows.add_history(database, options.jobs, every_seconds=_DAY_SECONDS / _A_DAY)
    before = _size(database, JobEvent)
    yield _grown("jobs", _size(database, Job), options.jobs)
    yield _grown("job_events, the first", before, options.jobs)
    _rows.add_details(database, options.detailed)
    yield _grown("job_events, 30 of blocks", _size(database, JobEvent) - before, options.detailed)
    yield _grown("layers, 180 matrices", _size(database, Layer), options.detailed)
    yield {"measurement": "filling", "case": f"{options.jobs} jobs", "seconds": round(time.monotonic() - began, 1)}


def _size(database: Database, entity: type[Base]) -> int:
    with database.begin() as session:
        return int(session.scalars(select(func.pg_total_relation_size(table_of(entity).name))).one())


def _grown(case: str, size: int, jobs: int) -> Figure:
    return {"measurement": "sizes", "case": case, "megabytes": round(size / 1e6, 1), "bytes_per_job": round(size / jobs)}


def listing(servers: Servers, _database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure GET /v1/jobs and /v1/quota of one tenant."""
    for case, parameters in _LISTS.items():
        yield _listed(servers, case, {"method": "GET", "url": "/v1/jobs", "params": parameters | {"limit": 50}}, options.listings)
    yield _listed(servers, "GET /v1/quota", {"method": "GET", "url": "/v1/quota"}, options.listings)


def _listed(servers: Servers, case: str, request: dict[str, Any], count: int) -> Figure:
    try:
        requests(servers, request, 2, 1)
        seconds, _ = requests(servers, request, count, 1)
    except AssertionError:
        return refused("listing", case)
    return aiming(latencies("listing", case, seconds), p50_ms=200)


def showing(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure the pages of the dashboard."""
    sweep = {"template": _rows.BODY, "axes": {"/calibration/seed": list(range(50))}}
    yield from _pages.measure(servers, database, jobs=options.jobs, sweep=sweep, count=options.visits, has_layers=True)


def claiming(_servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure claims from the jobs that are queued after all this time."""
    seconds, _ = claims(database, options.claims, 1)
    yield aiming(latencies("claims", "1 thread", seconds), p50_ms=100)


def forgetting(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure rounds of garbage collection: the first with nothing past its retention, then with most jobs."""
    with TemporaryDirectory() as folder:
        urls = {"database_url": servers.database_url, "broker_url": "redis://127.0.0.1:1", "artifact_url": Path(folder).as_uri()}
        kept: dict[str, Any] = urls | {"model_root": folder, "cache_dir": folder, "lease_seconds": 1}
        yield _round(GarbageCollector(Settings(**kept)), database, "blocks and attempts of all jobs")
        yield _round(GarbageCollector(Settings(**kept)), database, "nothing to delete but blocks")
        collector = GarbageCollector(Settings(**kept, keep_jobs_seconds=_DAY_SECONDS, keep_layers_seconds=_DAY_SECONDS / 2))
        for number in range(options.rounds):
            yield _round(collector, database, f"jobs kept for a day, matrices for half, round {number + 1}")


def _round(collector: GarbageCollector, database: Database, case: str) -> Figure:
    before, began = _counts(database), time.monotonic()
    assert collector.sweep()
    seconds, after = time.monotonic() - began, _counts(database)
    gone = {name: before[name] - after[name] for name in before}
    return {"measurement": "retention", "case": case, "seconds": round(seconds, 1), **gone}


def _counts(database: Database) -> dict[str, int]:
    with database.begin() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        counted = {
            "jobs_marked": select(func.count()).select_from(Job).where(Job.deleted_at.is_(None)),
            "jobs_deleted": select(func.count()).select_from(Job),
            "matrices_deleted": select(func.count()).select_from(Layer),
        }
        return {name: session.scalars(statement).one() for name, statement in counted.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs in the list, 10,000 a day")
    parser.add_argument("--detailed", type=int, default=_A_DAY, help="newest jobs with matrices and block events")
    parser.add_argument("--listings", type=int, default=20, help="requests for each list")
    parser.add_argument("--visits", type=int, default=5, help="requests for each page of the dashboard")
    parser.add_argument("--claims", type=int, default=200, help="claims")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of garbage collection with much to delete")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
