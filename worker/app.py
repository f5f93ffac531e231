"""Celery configuration of the worker, with the reason for each option. The state of jobs is decided in the database, not here."""

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

from service.contract.devices import QUEUE, DeviceClass, queues_of
from service.kit.signals import in_thread
from service.logging import get_logger
from service.ops.startup import heed_hangup
from service.settings import Settings, get_settings
from worker import devices
from worker.gpu_probe import Device
from worker.preloading import import_for_jobs
from worker.process.metrics_server import metrics_of
from worker.process.model_checks import ModelChecker
from worker.process.registration import WorkerRegistration

log = get_logger(__name__)

_SECONDS_TO_STOP: Final = 12.0
"""Shutdown deadline after SIGTERM. The running attempt is released within a few seconds; the process exits at the deadline."""

_ALLOCATOR: Final = ("PYTORCH_ALLOC_CONF", "expandable_segments:True")
"""Segments that grow in place, without which blocks and batches of varying sizes fragment the GPU's memory."""
_OLDER_ALLOCATOR: Final = "PYTORCH_CUDA_ALLOC_CONF"
"""Former name of the variable, which takes precedence over the new one."""

_SPINNING: Final = ("GOMP_SPINCOUNT", "1000")
"""Threads without work spin for some 50 µs, then sleep.

By default they spin for 15 ms, on cores that other processes need: of two jobs on two cores each took over four times as long as
alone. Without any spinning a job takes a third longer.
"""
_WAIT_POLICY: Final = "OMP_WAIT_POLICY"
"""Variable by which an operator decides about the same."""

_SECONDS_TO_REPLACE: Final = 0.1
"""Interval at which the parent looks whether its child has ended."""


def create_app(settings: Settings, device_class: DeviceClass) -> Celery:
    """Return the Celery application of a worker process and of its child."""
    app = Celery("dsnot", broker=settings.broker_url.get_secret_value(), include=["worker.tasks"], set_as_current=True)
    app.conf.update(
        worker_pool="prefork",  # the parent keeps its connection to the broker and survives a crash of the job's process
        worker_pool_start_method=_start_method(device_class),
        worker_concurrency=1,  # one job has the device to itself
        worker_max_tasks_per_child=1,  # every job runs in a fresh process, without leftover memory and threads
        worker_proc_alive_timeout=300.0,  # a spawned child imports torch before it reports that it is up; the default is 4 s
        worker_disable_prefetch=True,  # a message waits in the broker, where another worker can take it; see ConsumeWhenReady
        worker_prefetch_multiplier=1,
        task_acks_late=False,  # a message is a hint: if it is lost, the dispatcher sends another
        task_ignore_result=True,  # results are in the database
        task_serializer="json",
        accept_content=["json"],  # no pickle: nothing executable is read from the broker
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker survives any outage of its broker
        broker_transport_options={
            "global_keyprefix": settings.broker_prefix or "",  # other deployments may use the same broker
            "socket_connect_timeout": 4,
            "socket_timeout": 8,  # without it, kombu blocks on a silent broker and never runs its health check
            "socket_keepalive": True,
            "health_check_interval": 10,  # detects half-open connections
        },
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a job needs no broker while it runs
        worker_enable_remote_control=False,  # unused, and its queues would stay behind in the broker
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
    )
    app.steps["consumer"].add(ConsumeWhenReady)
    return app


def _start_method(device_class: DeviceClass) -> str:
    """Return `fork`, whose children have everything imported, or `spawn` for GPUs, because CUDA may fail in a forked process."""
    return "fork" if device_class is DeviceClass.CPU else "spawn"


class ConsumeWhenReady(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer step that leaves messages in the broker until a fresh child is ready.

    `worker_disable_prefetch` only counts tasks: with it alone, a worker whose child has finished or was killed takes a message,
    and keeps it from idle workers while the next child imports torch. The step reads private attributes of the pool of
    Celery 5.7 and billiard 4.3; tests/faults checks it against them.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._pool = consumer.pool
        self._used: WeakSet[Any] = WeakSet()
        task_received.connect(self._note_use, weak=False)

    def start(self, consumer: Any) -> None:
        """Make consumption wait for a fresh child, and replace ended ones at once; called once per connection to the broker.

        Celery looks for an ended child when its pipe closes, which is a moment before the child can be waited for; if it was too
        early, it looks again after 5 s.
        """
        consumer.hub.call_repeatedly(_SECONDS_TO_REPLACE, self._pool._pool.maintain_pool)
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume
        qos.can_consume = lambda: self._has_fresh_child() and may_consume()

    def _note_use(self, **_: Any) -> None:
        self._used.update(self._children_up())

    def _has_fresh_child(self) -> bool:
        return any(child not in self._used for child in self._children_up())

    def _children_up(self) -> list[Any]:
        """Return the children that have reported ready and have not ended."""
        return list(self._pool._pool._fileno_to_inq.values())


def run(settings: Settings) -> int:
    """Run jobs until SIGTERM or SIGINT; return the exit status.

    Raises:
        NoSuchDevice, PortNotUsable: the settings name a device or a port that cannot be used.
        DeviceLost: the device has failed during a job, which is queued again.
    """
    device_class, device = devices.chosen(settings.device)
    _prepare_for(device)
    app = create_app(settings, device_class)
    queues = ",".join(queues_of(device_class))
    worker = app.Worker(
        queues=queues, optimization="fair", without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True
    )
    worker._isatty = True  # Celery re-executes a process without a terminal at SIGHUP, and its children stay
    heed_hangup()

    registration = WorkerRegistration(settings, device_class, device)
    lost = _stop_at_signals(worker, registration)
    with metrics_of(settings, registration.identity):
        if _start_method(device_class) == "fork":
            import_for_jobs()
            gc.freeze()  # children share what is never collected
        with ModelChecker(settings), registration:
            worker.start()
    if lost.is_set():
        raise devices.DeviceLost(f"{device.name} ({device.description}) has failed; check nvidia-smi and the kernel's log")
    return int(worker.exitcode or 0)


def _stop_at_signals(worker: Any, registration: WorkerRegistration) -> threading.Event:
    """Make the worker deregister and stop at SIGTERM, and when its child reports a lost device; return that event."""
    lost = threading.Event()

    def stop() -> None:
        registration.leave()
        _stop_within_seconds(worker, status=int(lost.is_set()))

    def leave_service(*_: Any) -> None:
        lost.set()
        os.kill(os.getpid(), signal.SIGTERM)

    at_signal = in_thread(stop)
    worker_shutting_down.connect(lambda **_: at_signal(signal.SIGTERM, None), weak=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery handles it
    signal.signal(devices.LOST_SIGNAL, leave_service)
    return lost


def _prepare_for(device: Device) -> None:
    """Let the children use the device that was probed, with settings of its allocator and of threads that the operator left out.

    Call before PyTorch is imported, which reads them then.
    """
    if device.problem:
        log.warning("gpu_not_used", reason=device.problem)
    os.environ["DSNOT_DEVICE"] = device.name
    get_settings.cache_clear()
    if "cuda" in device.versions and _OLDER_ALLOCATOR not in os.environ:
        os.environ.setdefault(*_ALLOCATOR)
    if _WAIT_POLICY not in os.environ:
        os.environ.setdefault(*_SPINNING)


def _stop_within_seconds(worker: Any, status: int) -> None:
    """Send SIGTERM to the child, so that it releases its job, and limit the time that Celery's warm shutdown waits for it.

    A child that does not stop dies with this process, and its job is retried after the lease expires.
    """
    log.info("worker_stopping")
    timer = threading.Timer(_SECONDS_TO_STOP, os._exit, args=(status,))
    timer.daemon = True
    timer.start()
    for pid in worker.pool.info["processes"] if worker.pool else []:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
