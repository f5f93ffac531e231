"""Registration of a worker: identity, device and resource usage, written periodically by a thread of the parent process.

It serves people and planning. A job is kept by its lease, which the child renews.
"""

import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Final

import psutil
from sqlalchemy.orm import Session

from service.contract.devices import DeviceClass
from service.database.engine import TRANSIENT, Database
from service.logging import get_logger
from service.ops import liveness
from service.settings import Settings
from service.workers import repository
from service.workers.repository import Identity
from worker.gpu_probe import Device
from worker.process.forking import NO_FORK
from worker.process.host_usage import memory_bytes, usage

log = get_logger(__name__)

_VERSIONS: Final = ("dsnot", "torch", "transformers")
_SECONDS_TO_STOP: Final = 5.0


def worker_id(pid: int) -> str:
    """Return the id of the worker whose parent process has this pid."""
    return f"{socket.gethostname()}:{pid}"


class WorkerRegistration:
    """Registration of this worker from `__enter__` to `leave` or `__exit__`; not renewed while the database is unreachable."""

    def __init__(self, settings: Settings, device_class: DeviceClass, device: Device) -> None:
        self._settings = settings
        self._database = Database(settings.database_address, pool_size=1)
        self.identity = Identity(
            id=worker_id(os.getpid()),
            host=socket.gethostname(),
            device=device_class,
            device_name=device.description,
            device_memory_bytes=device.memory_bytes,
            host_memory_bytes=memory_bytes(),
            versions={package: version(package) for package in _VERSIONS} | device.facts(),
        )
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="registration", daemon=True)

    def __enter__(self) -> "WorkerRegistration":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()
        self._thread.join(_SECONDS_TO_STOP)
        self._database.close()

    def leave(self) -> None:
        """Deregister without waiting for it: the process may be ended before `__exit__`."""
        self._gone.set()

    def _keep(self) -> None:
        registered = False
        while not self._gone.is_set():
            registered |= self._write(self._heartbeat if registered else self._register)
            liveness.touch(self._settings.alive_file)
            self._gone.wait(self._settings.heartbeat_seconds)
        self._write(partial(repository.stopped, worker_id=self.identity.id))

    def _register(self, session: Session) -> None:
        repository.started(session, identity=self.identity, usage=usage(self._settings.cache_dir))

    def _heartbeat(self, session: Session) -> None:
        repository.seen(session, identity=self.identity, usage=usage(self._settings.cache_dir))

    def _write(self, statement: Callable[[Session], None]) -> bool:
        try:
            with NO_FORK, self._database.begin() as session:
                statement(session)
        except (*TRANSIENT, OSError, psutil.Error) as error:  # of the database, or of this host's disk and processes
            log.debug("registration_write_failed", error=type(error).__name__)
            return False
        return True
