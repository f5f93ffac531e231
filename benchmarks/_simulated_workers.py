"""Simulated workers of `benchmarks.workers`: all that a worker does in the database, without a device and without a job's work.

Claim, lease, registration and model checks are the worker's own code. Each worker has its own pools of connections, as each real
one is processes of its own; here it is threads, because the database's side is measured.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from service.contract.devices import DeviceClass
from service.contract.states import Stage
from service.database.engine import TRANSIENT, Database
from service.jobs.attempts import repository, transitions
from service.jobs.attempts.repository import Claim, StaleFence
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from worker.process.model_checks import ModelChecker
from worker.run.lease import Interruption, Lease

_PROGRESS_SECONDS: Final = 5.0
"""Interval of progress reports; a real worker sends one after each matrix, but at most one a second."""
_WAIT_SECONDS: Final = 120.0
_USAGE: Final = Usage(2 << 30, 1 << 40)


@dataclass(frozen=True)
class Load:
    """Task of the workers of one process."""

    database_url: str
    folder: Path
    first: int
    """Number of the first worker."""
    workers: int
    job_seconds: float
    """Time for which each job is held, with reports of progress."""
    ramp_seconds: float
    """Time within which the workers begin, one after the other."""
    seconds: float
    """Time after which all jobs end."""


@dataclass
class Observed:
    """Claims of one process: the seconds of each, and errors of the database."""

    claims: list[float] = field(default_factory=list)
    ended: int = 0
    errors: int = 0


_barrier: Barrier | None = None


def share_barrier(barrier: Barrier) -> None:
    """Keep the barrier at which the processes wait until all workers are connected; initializer of a process."""
    global _barrier
    _barrier = barrier


def run(load: Load) -> Observed:
    """Run the workers of one process until the queue is empty or the time is over."""
    settings = Settings(
        database_url=SecretStr(load.database_url),
        broker_url=SecretStr("redis://localhost"),
        artifact_url=load.folder.as_uri(),
        model_root=load.folder,
        cache_dir=load.folder,
    )
    observed = Observed()
    with ExitStack() as stack:
        names = [f"worker {load.first + number}" for number in range(load.workers)]
        databases = [stack.enter_context(_online(settings, name)) for name in names]
        assert _barrier is not None
        _barrier.wait(_WAIT_SECONDS)
        until = time.monotonic() + load.seconds
        threads = [
            threading.Thread(target=_work, args=(settings, database, name, load, until, observed))
            for name, database in zip(names, databases, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return observed


@contextmanager
def _online(settings: Settings, name: str) -> Iterator[Database]:
    """Register a worker, and send its heartbeats and take its model checks in the context; yield the pool for its jobs."""
    registered, of_jobs = (Database(settings.database_address, pool_size=size) for size in (1, 4))
    identity = Identity(name, name, DeviceClass.CPU, "simulated", None, 64 << 30, {})
    with registered.begin() as session:
        workers.started(session, identity, _USAGE)
    gone = threading.Event()

    def beat() -> None:
        while not gone.wait(settings.heartbeat_seconds * random.uniform(0.8, 1.2)):  # noqa: S311
            with registered.begin() as session:
                workers.seen(session, identity, _USAGE)

    thread = threading.Thread(target=beat, daemon=True)
    with ModelChecker(settings):
        thread.start()
        yield of_jobs
        gone.set()
        thread.join()
    registered.close()
    of_jobs.close()


def _work(settings: Settings, database: Database, name: str, load: Load, until: float, observed: Observed) -> None:
    time.sleep(random.uniform(0, load.ramp_seconds))  # noqa: S311
    while time.monotonic() < until:
        try:
            began = time.perf_counter()
            with database.begin() as session:
                claim = repository.claim_next(
                    session,
                    worker=name,
                    device=DeviceClass.CPU,
                    lease_seconds=settings.lease_seconds,
                    cached_models=("hub:org/another@1",),
                )
            if claim is None:
                return
            observed.claims.append(time.perf_counter() - began)
            _hold(settings, database, claim, min(time.monotonic() + load.job_seconds, until))
            observed.ended += 1
        except (*TRANSIENT, StaleFence, Interruption):
            observed.errors += 1


def _hold(settings: Settings, database: Database, claim: Claim, until: float) -> None:
    """Hold the job until then, as a worker that prunes does, and succeed."""
    with Lease(database, claim, settings, threading.Event(), end_stuck=lambda _: None) as lease:
        with database.begin() as session:
            repository.stage_started(session, claim.job_id, claim.fence, Stage.PRUNING)
        done = 0
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _PROGRESS_SECONDS))
            lease.check()
            done += 1
            with database.begin() as session:
                repository.progress(session, claim.job_id, claim.fence, {"done": done, "total": 1000, "unit": "blocks"})
        lease.end()
    with database.begin() as session:
        transitions.succeed(session, claim.job_id, claim.fence, metrics={}, artifact_prefix="jobs/none")


def total(parts: Sequence[Observed]) -> Observed:
    """Return the sum of what the processes observed."""
    claims = [seconds for part in parts for seconds in part.claims]
    return Observed(claims, sum(part.ended for part in parts), sum(part.errors for part in parts))
