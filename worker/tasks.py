"""Celery task of the worker, and the initialization of its child process."""

import os
import signal
import threading
from typing import Any

from celery import shared_task
from celery.signals import setup_logging, worker_process_init

from service import tracing
from service.contract.messages import PRUNE_TASK
from service.kit.signals import in_thread
from service.logging import configure_logging, get_logger
from service.settings import get_settings
from worker.preloading import import_for_jobs

log = get_logger(__name__)


@shared_task(name=PRUNE_TASK, bind=True)  # type: ignore[untyped-decorator]
def prune(task: Any, job_id: str) -> None:
    """Run the best queued job, which need not be `job_id`: that is only the job that the message was sent for.

    A lost device ends the worker: the next process could fail at the next job in the same way.

    While a job runs, SIGTERM makes it stop and release its claim, instead of ending the process.
    """
    from worker.attempt.runner import work
    from worker.devices import LOST_SIGNAL, DeviceLost
    from worker.process.registration import worker_id

    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, in_thread(stop.set))
    try:
        message = (task.request.headers or {}).get("traceparent")
        if not work(get_settings(), stop, worker_id(os.getppid()), message):
            log.info("queue_empty", job_id=job_id)
    except DeviceLost:
        previous = signal.SIG_IGN  # the parent stops its child, which ends after this task anyway
        os.kill(os.getppid(), LOST_SIGNAL)
    finally:
        signal.signal(signal.SIGTERM, previous)
        tracing.flush()


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log_like_the_service(**_: Any) -> None:
    """Configure the service's logging in the parent and its child, in place of Celery's own set-up."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format, settings.secrets())


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _prepare(**_: Any) -> None:
    """Import the slow modules before a job arrives, and clean up after a child that was killed.

    Celery has already arranged that the kernel kills this process when its parent dies.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal sends it to parent and child; the parent stops the child
    import_for_jobs()
    from worker.run.scratch import remove_abandoned

    tracing.configure("worker")
    remove_abandoned(get_settings().cache_dir / "scratch")
    log.info("worker_ready")
