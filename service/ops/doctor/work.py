"""Checks of folders, dispatcher, workers, queue and webhooks."""

import fcntl
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from service.contract.devices import DeviceClass, DeviceInfo, devices_served_by
from service.database.engine import Database
from service.database.tables.workers import Worker
from service.jobs.attempts import standings
from service.kit.quantities import size
from service.ops.doctor.findings import Check, Finding, fail, ok, warn
from service.ops.metrics import queue
from service.ops.metrics import repository as backlogs
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Occupation

_FREE_BYTES: Final = 20e9
_LATE_SECONDS: Final = 60.0
_STUCK_SECONDS: Final = 600.0


def checks(settings: Settings, database: Database) -> list[Check]:
    """Return the checks of what runs the jobs."""
    return [
        Check("model root", lambda: _model_root(settings.model_root), "correct DSNOT_MODEL_ROOT"),
        Check("cache", lambda: _cache(settings.cache_dir), "correct DSNOT_CACHE_DIR"),
        Check("dispatcher", lambda: _dispatcher(database), "see the check of the database"),
        Check("workers", lambda: _workers(settings, database), "see the check of the database"),
        Check("queue", lambda: _queue(settings, database), "see the check of the database"),
        Check("webhooks", lambda: _webhooks(database), "see the check of the database"),
    ]


def _model_root(folder: Path) -> Finding:
    if not folder.is_dir():
        return warn(
            "model root", f"{folder} is not a folder on this host", "create it, unless only the workers have local models"
        )
    models = sum(1 for _ in folder.rglob("config.json"))
    return ok("model root", f"{models} local models")


def _cache(folder: Path) -> Finding:
    """Check that a worker on this host can write and lock files in the folder, and its free space."""
    if not folder.is_dir():
        return warn("cache", f"{folder} is not a folder on this host", "create it, unless workers run on other hosts only")
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    free = shutil.disk_usage(folder).free
    found = f"{size(free)} free"
    if free < _FREE_BYTES:
        return warn("cache", found, "free disk space: a job needs twice the size of its model")
    return ok("cache", found)


def _dispatcher(database: Database) -> Finding:
    with database.begin() as session:
        unsent = backlogs.outbox(session)
    if unsent.oldest_seconds > _LATE_SECONDS:
        found = f"the oldest unsent message is {unsent.oldest_seconds:.0f} s overdue"
        return fail("dispatcher", found, "start one: python -m service.dispatcher; if one runs, check its log and the broker")
    return ok("dispatcher", "no message is overdue")


def _known(settings: Settings, database: Database) -> list[Occupation]:
    with database.begin() as session:
        found = workers.occupations(session, silent_seconds=settings.lease_seconds)
    return [each for each in found if each.worker.stopped_at is None]


def _workers(settings: Settings, database: Database) -> Finding:
    known = _known(settings, database)
    alive = [each.worker for each in known if each.is_alive]
    if not alive:
        return fail("workers", "no worker is alive", "start one: python -m worker")
    found = ", ".join(f"{worker.id} on {_device(worker)}" for worker in alive)
    if len(alive) < len(known):
        return warn(
            "workers",
            f"{found}; {len(known) - len(alive)} silent",
            "check the logs of the silent workers, listed by `dsnot workers`",
        )
    others = {worker.versions.get("dsnot") for worker in alive} - {version("dsnot")}
    if others:
        return warn("workers", f"{found}; of version {', '.join(map(str, others))}", "finish the deployment")
    problems = {worker.versions.get("device_problem") for worker in alive} - {None}
    if problems:
        remedy = "free or repair the GPUs and restart the workers, or set DSNOT_DEVICE to cpu"
        return warn("workers", f"{found}; GPUs are not used: {'; '.join(sorted(map(str, problems)))}", remedy)
    return ok("workers", found)


def _device(worker: Worker) -> str:
    return str(DeviceInfo.of(worker.device_name, worker.device_memory_bytes, worker.versions))


def _queue(settings: Settings, database: Database) -> Finding:
    known = _known(settings, database)
    with database.begin() as session:
        waiting = {device: backlog for device, backlog in queue.waiting(session).backlogs.items() if backlog.count}
        fitting = {device for device, count in standings.claimable(session).items() if count}
    if not waiting:
        return ok("queue", "no job waits")
    found = ", ".join(
        f"{each.count} for {device}, the oldest for {each.oldest_seconds:.0f} s" for device, each in waiting.items()
    )
    served = {wish for each in known if each.is_alive for wish in devices_served_by(DeviceClass(each.worker.device))}
    idle = {
        wish
        for each in known
        if each.is_alive and each.job_id is None
        for wish in devices_served_by(DeviceClass(each.worker.device))
    }
    if missing := set(waiting) - served:
        return fail("queue", found, f"start a worker for {', '.join(sorted(missing))}, or cancel the jobs that require it")
    if too_large := set(waiting) - fitting:
        remedy = "start a larger worker, or cancel them; `dsnot workers` shows the memory of each"
        return warn("queue", f"{found}; no worker has the memory for those for {', '.join(sorted(too_large))}", remedy)
    if any(device in idle and each.oldest_seconds > _STUCK_SECONDS for device, each in waiting.items()):
        return fail("queue", f"{found}, and a worker is idle", "check the logs of dispatcher and workers, and the broker")
    return ok("queue", found)


def _webhooks(database: Database) -> Finding:
    with database.begin() as session:
        overdue = backlogs.webhooks(session)
    if overdue.oldest_seconds > _LATE_SECONDS:
        found = f"{overdue.count} messages overdue, the oldest by {overdue.oldest_seconds:.0f} s"
        return fail("webhooks", found, "start a dispatcher, with the same DSNOT_SECRET_KEY as the service")
    return ok("webhooks", "no message is overdue")
