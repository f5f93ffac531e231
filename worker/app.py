"""Celery for the worker: which options, and why. What a job is and what becomes of it is decided in the database, not here."""

import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

from celery import Celery, bootsteps
from celery.signals import task_received, worker_shutting_down

from service.contract import QUEUE, DeviceClass, queues_of
from service.logging import get_logger
from service.settings import Settings
from worker import devices
from worker.preloading import import_for_jobs
from worker.process.metrics_server import metrics_of
from worker.process.registration import Presence

log = get_logger(__name__)

_SECONDS_TO_STOP: Final = 12.0
"""After SIGTERM. The running attempt is given back within a few seconds; what has not stopped by then is ended."""


def create_app(settings: Settings, device_class: DeviceClass) -> Celery:
    """Return the Celery application of a worker process and of its child."""
    app = Celery("dsnot", broker=settings.broker_url.get_secret_value(), include=["worker.tasks"], set_as_current=True)
    app.conf.update(
        worker_pool="prefork",  # the parent keeps talking to the broker and survives whatever a job does to its process
        worker_pool_start_method=_start_method(device_class),
        worker_concurrency=1,  # one job has the device to itself
        worker_max_tasks_per_child=1,  # every job starts without the memory and the threads of the one before
        worker_proc_alive_timeout=300.0,  # a spawned child imports torch before it reports that it is up; the default is 4 s
        worker_disable_prefetch=True,  # a message waits in the broker, where another worker can take it; see TakeOnlyWhenReady
        worker_prefetch_multiplier=1,
        task_acks_late=False,  # a message is a hint: if it is lost, the dispatcher sends another
        task_ignore_result=True,  # results are in the database
        task_serializer="json",
        accept_content=["json"],  # nothing that could be executed is ever read from the broker
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker outlives any outage of its broker
        broker_transport_options={
            "socket_connect_timeout": 4,
            "socket_timeout": 8,  # kombu waits for ever for a broker that has gone silent, and would never check its health
            "socket_keepalive": True,
            "health_check_interval": 10,  # a half-open connection is noticed
        },
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a job needs no broker while it runs
        worker_enable_remote_control=False,  # its queues would stay behind in the broker, and nobody asks
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
    )
    app.steps["consumer"].add(TakeOnlyWhenReady)
    return app


def _start_method(device_class: DeviceClass) -> str:
    """Fork children that have everything imported; CUDA cannot be relied on in a forked process."""
    return "fork" if device_class is DeviceClass.CPU else "spawn"


class TakeOnlyWhenReady(bootsteps.StartStopStep):  # type: ignore[misc]
    """Leaves messages in the broker until a child can begin at once.

    `worker_disable_prefetch` only counts tasks. Left to it, a worker whose child has finished or was killed takes a message,
    and keeps it from idle workers for as long as the next child imports torch. It asks the pool of Celery 5.7 and billiard
    4.3 for what they do not publish; tests/faults holds it against them.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._pool = consumer.pool
        self._used: WeakSet[Any] = WeakSet()
        task_received.connect(self._note_use, weak=False)

    def start(self, consumer: Any) -> None:
        """Once per connection to the broker."""
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume
        qos.can_consume = lambda: self._has_fresh_child() and may_consume()

    def _note_use(self, **_: Any) -> None:
        self._used.update(self._children_up())

    def _has_fresh_child(self) -> bool:
        return any(child not in self._used for child in self._children_up())

    def _children_up(self) -> list[Any]:
        """Children that have reported that they are ready, and have not ended."""
        return list(self._pool._pool._fileno_to_inq.values())


def run(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; returns the exit status.

    Raises:
        NoSuchDevice, PortNotUsable: the settings name what is not there.
    """
    device_class, device = devices.chosen(settings.device)
    app = create_app(settings, device_class)
    queues = ",".join(queues_of(device_class))
    worker = app.Worker(
        queues=queues, optimization="fair", without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True
    )

    presence = Presence(settings, device_class, device)

    def stop(**_: Any) -> None:
        presence.leave()
        _stop_within_seconds(worker)

    worker_shutting_down.connect(stop, weak=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery handles it
    with metrics_of(settings, presence.identity):
        if _start_method(device_class) == "fork":
            import_for_jobs()
            gc.freeze()  # children share what is never collected
        with presence:
            worker.start()
    return int(worker.exitcode or 0)


def _stop_within_seconds(worker: Any) -> None:
    """Tell the child to give its job back, which Celery's warm shutdown then waits for, but not for ever.

    Runs in a signal handler. A child that does not stop dies with this process, and its job is taken up after the lease.
    """
    log.info("worker_stopping")
    timer = threading.Timer(_SECONDS_TO_STOP, os._exit, args=(0,))
    timer.daemon = True
    timer.start()
    for pid in worker.pool.info["processes"] if worker.pool else []:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
