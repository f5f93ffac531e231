"""Processes killed between two steps that belong together: what one did, the next must neither repeat nor forget."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import redis

from service.contract import QUEUE, JobState
from service.database import Database
from service.dispatcher.sweeping import Sweeper
from service.settings import Settings
from tests.faults.long_jobs import assert_one_artifact_and_nothing_else
from tests.integration.conftest import environment
from tests.integration.job_rows import attempts_of, event_types, eventually, insert_job, job_row
from tests.integration.tiny_model import save_model
from tests.integration.worker_processes import dispatching
from worker.runner import work

DIE = "import os, signal\ndie = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"

DISPATCHERS = {
    "before it sends": "service.queue.Queue.send = die",
    "after it has sent": "service.outbox.repository.remove = die",
}
WORKERS = {
    "before the manifest": "worker.artifacts._put_manifest = die",
    "between upload and finish": "service.attempts.endings.succeed = die",
}
AFTER_THE_FINISH = "worker.blocks.Blocks.remove = die"


def dies(settings: Settings, code: str, run: str) -> None:
    """A process that kills itself at the moment that `code` names."""
    program = DIE + textwrap.dedent(run).replace("PATCH", code)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(settings), check=False, timeout=120, capture_output=True
    )
    assert done.returncode == -9, done.stderr.decode()[-2000:]


RUN_DISPATCHER = """
    import threading
    import service.outbox.repository, service.queue
    from service.dispatcher.loop import Dispatcher
    from service.settings import get_settings
    PATCH
    Dispatcher(get_settings()).run(threading.Event())
"""
RUN_WORKER = """
    import threading
    import service.attempts.endings, worker.artifacts, worker.blocks
    from service.settings import get_settings
    from worker.runner import work
    PATCH
    work(get_settings(), threading.Event())
"""


@pytest.mark.parametrize("moment", DISPATCHERS)
def test_a_dispatcher_that_dies_between_commit_and_send_delays_the_job_and_loses_nothing(
    settings: Settings, database: Database, broker: "redis.Redis", tmp_path: Path, moment: str
) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database)
    dies(settings, DISPATCHERS[moment], RUN_DISPATCHER)
    assert broker.llen(QUEUE) == (moment == "after it has sent")
    with dispatching(settings, tmp_path):
        eventually(lambda: broker.llen(QUEUE) >= 1)
        while broker.lpop(QUEUE):
            work(settings, threading.Event())
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["succeeded"]


@pytest.mark.parametrize("moment", WORKERS)
def test_a_worker_that_dies_before_the_finish_is_written_leaves_one_artifact_in_the_end(
    settings: Settings, database: Database, tmp_path: Path, moment: str
) -> None:
    save_model(settings.model_root / "tiny")
    settings = settings.model_copy(update={"sweep_seconds": 0.5})
    job_id = insert_job(database)
    dies(settings, WORKERS[moment], RUN_WORKER)
    assert job_row(database, job_id).artifact_prefix is None, "nobody may trust what no job names"
    with dispatching(settings, tmp_path):
        eventually(lambda: work(settings, threading.Event()))
        assert job_row(database, job_id).state == JobState.SUCCEEDED
        assert event_types(database, job_id).count("succeeded") == 1
    assert_one_artifact_and_nothing_else(settings, database, job_id)


def test_a_worker_that_dies_right_after_the_finish_has_finished(settings: Settings, database: Database) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database)
    dies(settings, AFTER_THE_FINISH, RUN_WORKER)
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    eventually(lambda: not work(settings, threading.Event()), seconds=5)
    following = insert_job(database)
    assert work(settings, threading.Event())
    Sweeper(settings.model_copy(update={"lease_seconds": 0.01})).sweep()
    assert event_types(database, job_id).count("succeeded") == 1
    assert_one_artifact_and_nothing_else(settings, database, job_id, following)
