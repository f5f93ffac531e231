"""Measure the service under load: jobs and sweeps created and listed, pages, streams of events, claims from a long queue.

    python -m benchmarks.service --out benchmarks/results/service

PostgreSQL, Valkey and the service are started with empty data; no worker runs. The load comes from the same machine and
shares its cores. NAME.json and NAME.md are written after every measurement; `--only` selects some.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import _pages, _rows
from benchmarks._claims import claims
from benchmarks._figures import Figure, aiming, latencies, markdown
from benchmarks._load import requests, streams
from benchmarks._machine import about
from benchmarks._servers import Servers, running, version_of_database
from benchmarks._watching import transactions
from service.contract.states import JobState
from service.database.engine import Database

_POST = {"method": "POST", "url": "/v1/jobs", "json": _rows.BODY}
_TENANTS = (50, 1000)
"""Numbers of tenants that share the longest queue."""
_SEARCHED = 10_000
"""Jobs in the list that is searched."""
_POLL = 4
"""Most transactions of one poll: a check of the key and a read, each after a ping if its connection was idle."""
_WARM_UP = 50
"""Warm-up requests, sent by as many clients as the measured ones, so that as many database connections are open."""


def main() -> None:
    """Run the selected measurements, each on empty tables."""
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    with running(max_queued_jobs=options.creations + _WARM_UP, processes=options.processes) as servers:
        database = Database(servers.database_url)
        setting = _about(database, options)
        for name in options.only or MEASUREMENTS:
            _rows.empty(database)
            for figure in MEASUREMENTS[name](servers, database, options):
                print(json.dumps(figure), flush=True)
                figures.append(figure)
            write(options.out, setting, figures)
        database.close()


def creation(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure POST /v1/jobs for one tenant: closed loop without and with an idempotency key, then at a steady rate.

    The aim applies to the steady rate; a closed loop measures throughput.
    """
    for keyed, clients in product((False, True), sorted({1, options.clients})):
        requests(servers, _POST, _WARM_UP, clients, keyed=keyed)
        seconds, total = requests(servers, _POST, options.creations, clients, keyed=keyed)
        case = f"{clients} clients{', each request under a key' if keyed else ''}"
        yield latencies("job creation", case, seconds, per_second=round(len(seconds) / total, 1))
        _rows.empty(database)
    seconds, total = requests(servers, _POST, options.creations, options.clients, every=1)
    case = f"{options.clients} clients, each one request a second"
    yield aiming(latencies("job creation", case, seconds, per_second=round(len(seconds) / total, 1)), p99_ms=150)


def listing(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure GET /v1/jobs, all jobs of one tenant."""
    _rows.add_history(database, options.jobs)
    pages = {
        "first page": {},
        "middle page": {"cursor": _rows.middle_cursor(database)},
        "state in most jobs": {"state": JobState.SUCCEEDED},
        "state in 1 of 1000": {"state": JobState.RUNNING},
        "state in none": {"state": JobState.PAUSED},
        "two states in none": {"state": [JobState.PAUSED, JobState.PAUSING]},
        "label in all": {"label.team": "search"},
        "label in none": {"label.team": "none"},
        "model in none": {"model": "none"},
    }
    for clients in (1, 10):
        for case, parameters in pages.items():
            request = {"method": "GET", "url": "/v1/jobs", "params": parameters}
            requests(servers, request, min(_WARM_UP, options.listings), clients)
            seconds, total = requests(servers, request, options.listings, clients)
            more = {"per_second": round(len(seconds) / total, 1), "jobs": options.jobs}
            yield aiming(latencies("listing", f"{case}, {clients} clients", seconds, **more), p99_ms=100)


def searching(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure GET /v1/jobs of a list of 10,000 jobs with results, sorted and filtered by what has no index."""
    count = min(options.jobs, _SEARCHED)
    _rows.add_history(database, count)
    pages: dict[str, dict[str, Any]] = {
        f"sorted by {key}": {"sort": key} for key in ("perplexity", "-agreement", "size", "duration")
    }
    pages |= {
        "sorted by name": {"sort": "name"},
        "text in labels": {"q": "team=sea", "sort": "perplexity"},
        "text in none": {"q": "nowhere"},
        "preset in none": {"preset": "best"},
        "label and state, sorted by perplexity": {"label.team": "search", "state": JobState.SUCCEEDED, "sort": "-perplexity"},
    }
    for case, parameters in pages.items():
        request = {"method": "GET", "url": "/v1/jobs", "params": parameters | {"limit": 50}}
        requests(servers, request, min(_WARM_UP, options.listings), 1)
        seconds, _ = requests(servers, request, options.listings, 1)
        yield aiming(latencies("searching", case, seconds, jobs=count), p99_ms=200)


def showing(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure the dashboard's pages with 10,000 jobs, and a sweep with `--points` of them."""
    sweep = {"template": _rows.BODY, "axes": {"/calibration/seed": list(range(options.points))}}
    count = min(options.jobs, _SEARCHED)
    _rows.add_history(database, count)
    yield from _pages.measure(servers, database, jobs=count, sweep=sweep, count=options.visits)


def sweeping(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure sweeps after a long history: creation with all points, the list, the table of points, cancellation."""
    _rows.add_history(database, options.jobs)
    body = {"template": _rows.BODY, "axes": {"/calibration/seed": list(range(options.points))}}
    case = f"sweep of {options.points} points"
    made, _ = requests(servers, {"method": "POST", "url": "/v1/sweeps", "json": body}, options.sweeps, 1)
    yield aiming(latencies("sweeps", f"{case}, created", made, jobs=options.jobs), max_ms=1000)
    sweeps = _rows.sweep_ids(database)
    reads = {"list": "/v1/sweeps", "table of points": f"/v1/sweeps/{sweeps[0]}"}
    for name, path in reads.items():
        seconds, _ = requests(servers, {"method": "GET", "url": path}, options.listings, 1)
        yield aiming(latencies("sweeps", f"{case}, {name}", seconds, jobs=options.jobs), p99_ms=100)
    ends = [requests(servers, {"method": "POST", "url": f"/v1/sweeps/{each}/cancel"}, 1, 1)[1] for each in sweeps]
    yield latencies("sweeps", f"{case}, cancelled while queued", ends, jobs=options.jobs)


def following(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure GET /v1/jobs/…/events as streams, all of one job."""
    job_id = _rows.add_running(database)
    seconds = streams(servers, job_id, options.events, options.streams)
    figure = latencies("event streams", f"{options.streams} streams of one job, {options.events} events", seconds)
    yield aiming(figure, max_ms=1000)


def watching(servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure the transactions of event streams with progress, less those of the reports without streams.

    Aim: one poll a minute and stream.
    """
    job_id, seconds = _rows.add_running(database), options.watched_seconds
    alone, watched = (transactions(servers, database, job_id, count, seconds) for count in (0, options.streams))
    each = round(60 * (watched - alone) / seconds / options.streams, 2)
    case = f"{options.streams} streams of one job, a report of progress every second for {seconds:g} s"
    figure: Figure = {"measurement": "watching", "case": case, "count": watched - alone, "per_stream_and_minute": each}
    yield aiming({**figure, "without_streams": alone}, per_stream_and_minute=_POLL)


def claiming(_servers: Servers, database: Database, options: argparse.Namespace) -> Iterator[Figure]:
    """Measure claims from queues of several lengths and tenants. Aim: the cost does not depend on the length."""
    first: float | None = None
    for queued, threads in product(options.queues, (1, 4)):
        figure = _claimed(database, queued, threads, 1, options)
        if threads == 1:
            first = first or figure["p50_ms"]
            figure = aiming({**figure, "ratio": round(figure["p50_ms"] / first, 2)}, ratio=1.5)
        yield figure
    for tenants in _TENANTS:
        yield _claimed(database, max(options.queues), 1, tenants, options)


def _claimed(database: Database, queued: int, threads: int, tenants: int, options: argparse.Namespace) -> Figure:
    _rows.empty(database)
    _rows.add_queue(database, queued, tenants)
    seconds, total = claims(database, min(options.claims, queued), threads)
    of = f" of {tenants} tenants" if tenants > 1 else ""
    more: dict[str, Any] = {"per_second": round(len(seconds) / total, 1), "queued": queued}
    return latencies("claims", f"{queued} queued{of}, {threads} threads", seconds, **more)


MEASUREMENTS: dict[str, Callable[[Servers, Database, argparse.Namespace], Iterator[Figure]]] = {
    "creation": creation,
    "listing": listing,
    "searching": searching,
    "showing": showing,
    "sweeping": sweeping,
    "following": following,
    "watching": watching,
    "claiming": claiming,
}


def write(out: Path, setting: dict[str, Any], figures: list[Figure]) -> None:
    """Write NAME.json and NAME.md."""
    out.with_suffix(".json").write_text(json.dumps({"about": setting, "figures": figures}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(setting, figures))


def _about(database: Database, options: argparse.Namespace) -> dict[str, Any]:
    basis = about(("fastapi", "uvicorn", "sqlalchemy", "psycopg"))
    python, server = platform.python_version(), version_of_database(database)
    return basis | {
        "machine": f"{basis['machine']}, shared by servers and load; load average before: {os.getloadavg()[0]:.1f}",
        "versions": f"Python {python}, PostgreSQL {server}, {basis['versions']}",
        "protocol": f"service processes: {options.processes}, no worker; a connection per client, which measures the time",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="a measurement; may be repeated")
    parser.add_argument("--creations", type=int, default=2000, help="jobs to create")
    parser.add_argument("--clients", type=int, default=50, help="clients that create jobs concurrently")
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs in the list")
    parser.add_argument("--listings", type=int, default=300, help="requests for each page of the list")
    parser.add_argument("--visits", type=int, default=20, help="requests for each page of the dashboard")
    parser.add_argument("--points", type=int, default=200, help="points of each sweep")
    parser.add_argument("--sweeps", type=int, default=5, help="sweeps to create")
    parser.add_argument("--streams", type=int, default=200, help="concurrent event streams")
    parser.add_argument("--events", type=int, default=10, help="events per stream")
    parser.add_argument("--watched-seconds", type=float, default=60, help="seconds for which watched streams stay idle")
    parser.add_argument("--queues", type=int, nargs="+", default=[1000, 10_000, 100_000], help="lengths of the queues")
    parser.add_argument("--claims", type=int, default=500, help="claims from each queue")
    parser.add_argument("--processes", type=int, default=1, help="processes of the service")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
