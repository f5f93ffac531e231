"""Measure the database under many workers: claims per second, and the load of workers that hold jobs.

    python -m benchmarks.workers --out benchmarks/results/workers

PostgreSQL is started with empty data. The workers are simulated (`benchmarks._simulated_workers`) in processes on the same
machine, with the default settings: a heartbeat of the job and one of the worker every 5 s, and progress as often.

    claims   workers claim, hold and end short jobs of a long queue; the shorter, the more claims per second are offered
    holding  all workers hold a job: what a worker costs while it works
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from sqlalchemy import text

from benchmarks import _rows
from benchmarks._figures import Figure, latencies, markdown
from benchmarks._machine import about
from benchmarks._servers import version_of_database
from benchmarks._simulated_workers import Load, Observed, run, share_barrier, total
from service.database import schema
from service.database.engine import Database
from service.embedded import postgres

_TENANTS: Final = 20
_CONNECTIONS_OF_A_WORKER: Final = 5
_WAIT_SECONDS: Final = 120.0
_TRANSACTIONS = text("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
_CONNECTIONS = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
_OLDEST_HEARTBEAT = text(
    "SELECT coalesce(max(extract(epoch FROM now() - lease_expires_at) + 60), 0)::float FROM attempts WHERE ended_at IS NULL"
)
"""Seconds since the oldest renewal of a lease of 60 s."""


def main() -> None:
    """Run both measurements and write NAME.json and NAME.md."""
    options = _options()
    figures: list[Figure] = []
    most = max(options.workers)
    with _database(most * _CONNECTIONS_OF_A_WORKER + 50) as (url, server):
        database = Database(url, pool_size=2)
        setting = about(("sqlalchemy", "psycopg")) | {"database": f"PostgreSQL {version_of_database(database)}"}
        setting["load"] = f"{options.processes} processes share the cores with the database; before: {os.getloadavg()[0]:.1f}"
        for figure in _measured(database, server, url, options):
            print(json.dumps(figure), flush=True)
            figures.append(figure)
        database.close()
    options.out.with_suffix(".json").write_text(json.dumps({"about": setting, "figures": figures}, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(markdown(setting, figures).replace("Service under load", "Many workers", 1))


@contextmanager
def _database(connections: int) -> Iterator[tuple[str, psutil.Process]]:
    with TemporaryDirectory(prefix="dsnot-benchmark-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # as root, PostgreSQL may have to run as another user, who must be able to pass through
        child, url = postgres.start(home, max_connections=connections)
        try:
            schema.upgrade(url)
            yield url, psutil.Process(child.process.pid)
        finally:
            child.stop(30)


def _measured(database: Database, server: psutil.Process, url: str, options: argparse.Namespace) -> Iterator[Figure]:
    most = max(options.workers)
    for length in options.job_seconds:
        _rows.empty(database)
        _rows.add_queue(database, options.jobs, _TENANTS)
        observed, seen = _run(
            database, server, url, options, most, job_seconds=length, ramp_seconds=length, seconds=options.claim_seconds
        )
        rates = {"offered_per_second": round(most / length, 1), "per_second": round(len(observed.claims) / seen.seconds, 1)}
        case = f"{most} workers, {options.jobs} jobs of {_TENANTS} tenants, {length:g} s each"
        figure = latencies("claims", case, observed.claims, **rates, errors=observed.errors)
        cpu = round(1000 * seen.database_cpu / max(1, len(observed.claims)), 1)
        yield figure | {"database_cpu_ms_per_job": cpu, "oldest_heartbeat_seconds": seen.oldest} | seen.shares()
    for count in options.workers:
        _rows.empty(database)
        _rows.add_queue(database, count, _TENANTS)
        whole = options.hold_seconds
        observed, seen = _run(database, server, url, options, count, job_seconds=whole, ramp_seconds=3.0, seconds=whole)
        each = {
            "transactions_per_worker_and_second": round(seen.transactions / seen.seconds / count, 2),
            "database_cpu_ms_per_worker_and_second": round(1000 * seen.database_cpu / seen.seconds / count, 2),
            "oldest_heartbeat_seconds": seen.oldest,
            "connections": round(median(seen.connections)),
            "errors": observed.errors,
        }
        yield {"measurement": "holding", "case": f"{count} workers", "count": observed.ended} | each | seen.shares()


@dataclass
class _Seen:
    """Figures of the database and of the processors while workers ran."""

    seconds: float = 0.0
    transactions: int = 0
    database_cpu: float = 0.0
    """Seconds of processor time."""
    machine_cpu: float = 0.0
    """Share of all cores in use, by whatever process."""
    connections: list[int] = field(default_factory=list)
    heartbeats: list[float] = field(default_factory=list)

    @property
    def oldest(self) -> float:
        """Longest time that a lease was not renewed."""
        return round(max(self.heartbeats, default=0.0), 1)

    def shares(self) -> dict[str, Any]:
        """Return the shares of the machine's processors in percent."""
        cores = os.cpu_count() or 1
        database = 100 * self.database_cpu / self.seconds / cores
        return {"database_cpu_percent": round(database), "machine_cpu_percent": round(self.machine_cpu)}


def _run(
    database: Database,
    server: psutil.Process,
    url: str,
    options: argparse.Namespace,
    count: int,
    *,
    job_seconds: float,
    ramp_seconds: float,
    seconds: float,
) -> tuple[Observed, _Seen]:
    """Run `count` workers, and observe the database from when all are connected until all have ended."""
    context, processes = get_context("spawn"), min(options.processes, count)
    barrier = context.Barrier(processes + 1)
    with TemporaryDirectory() as folder, ProcessPoolExecutor(processes, context, share_barrier, (barrier,)) as pool:
        shares = [count // processes + (number < count % processes) for number in range(processes)]
        loads = [
            Load(url, Path(folder), sum(shares[:number]), share, job_seconds, ramp_seconds, seconds)
            for number, share in enumerate(shares)
        ]
        running = [pool.submit(run, load) for load in loads]
        barrier.wait(_WAIT_SECONDS)
        seen = _observe(database, server, running)
        return total([each.result() for each in running]), seen


def _observe(database: Database, server: psutil.Process, running: list["Future[Observed]"]) -> _Seen:
    seen = _Seen()
    psutil.cpu_percent()
    began, cpu, before = time.monotonic(), _cpu(server), _number(database, _TRANSACTIONS)
    while not all(each.done() for each in running):
        wait(running, timeout=1.0)
        if any(each.done() for each in running) and seen.connections:
            break  # connections of ended workers would be missing in the processor time
        seen.seconds, seen.database_cpu = time.monotonic() - began, _cpu(server) - cpu
        seen.transactions = int(_number(database, _TRANSACTIONS) - before)
        seen.connections.append(int(_number(database, _CONNECTIONS)))
        seen.heartbeats.append(_number(database, _OLDEST_HEARTBEAT))
    seen.machine_cpu = psutil.cpu_percent()
    return seen


def _cpu(server: psutil.Process) -> float:
    """Return the processor time in seconds of the server and its processes."""
    used = 0.0
    for process in [server, *server.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


def _number(database: Database, statement: Any) -> float:
    with database.begin() as session:
        return float(session.execute(statement).scalar_one())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[50, 200], help="numbers of workers; the most measure claims")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs to claim")
    parser.add_argument("--job-seconds", type=float, nargs="*", default=[20, 10], help="lengths of the jobs that are claimed")
    parser.add_argument("--claim-seconds", type=float, default=25, help="seconds for which jobs are claimed")
    parser.add_argument("--hold-seconds", type=float, default=15, help="seconds for which jobs are held")
    parser.add_argument("--processes", type=int, default=4, help="processes of the simulation")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
