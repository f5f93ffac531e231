"""Processes killed between two steps that belong together: what one did, the next must neither repeat nor forget."""

import json
import textwrap
import threading
from pathlib import Path

import pytest
import redis
from sqlalchemy import select

from service.contract.devices import QUEUE
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.webhooks import Delivery, Webhook
from service.dispatcher.garbage_collection import GarbageCollector
from service.settings import Settings
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.job_rows import attempts_of, event_types, insert_job, job_row
from tests.support.long_jobs import assert_one_artifact_and_nothing_else, expire_lease
from tests.support.threads import dispatcher_threads
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from tests.support.webhook_receiver import receiving
from worker.attempt.runner import work

DIE = "import os, signal\ndie = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"

SHORT_LEASE = "import service.dispatcher.webhook_delivery\nservice.dispatcher.webhook_delivery._LEASE_SECONDS = 1.0\n"
"""Of the delivery that the dying dispatcher has taken: the next one takes it after a second instead of a minute."""

DISPATCHERS = {
    "before it sends": "service.broker.queue.Queue.send = die",
    "after it has sent": "service.jobs.outbox.repository.remove = die",
}
DELIVERERS = {
    "before it sends": "service.dispatcher.webhook_delivery.post = die",
    "after it has sent": "service.webhooks.repository.note = die",
}
WORKERS = {
    "before the manifest": "worker.publishing.artifact._put_manifest = die",
    "between upload and finish": "service.jobs.attempts.transitions.succeed = die",
}
AFTER_THE_FINISH = "worker.run.finished_blocks.Blocks.remove = die"


def dies(settings: Settings, code: str, run: str) -> None:
    """A process that kills itself at the moment that `code` names."""
    program = DIE + textwrap.dedent(run).replace("PATCH", code)
    done = fork_server.run(("tests.support.given_program",), environment(settings), program)
    assert done.returncode == -9, done.stderr[-2000:]


RUN_DISPATCHER = """
    import threading
    import service.dispatcher.webhook_delivery, service.jobs.outbox.repository, service.broker.queue, service.webhooks.repository
    from service.dispatcher.loop import Dispatcher
    from service.settings import get_settings
    PATCH
    Dispatcher(get_settings()).run(threading.Event())
"""
RUN_WORKER = """
    import threading
    import service.jobs.attempts.transitions, worker.publishing.artifact, worker.run.finished_blocks
    from service.settings import get_settings
    from worker.attempt.runner import work
    PATCH
    work(get_settings(), threading.Event())
"""


@pytest.mark.parametrize("moment", DISPATCHERS)
def test_a_dispatcher_crash_between_commit_and_send_loses_no_job(
    settings: Settings, database: Database, broker: "redis.Redis", tmp_path: Path, moment: str
) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database)
    dies(settings, DISPATCHERS[moment], RUN_DISPATCHER)
    assert broker.llen(QUEUE) == (moment == "after it has sent")
    with dispatcher_threads(settings):
        eventually(lambda: broker.llen(QUEUE) >= 1)
        while broker.lpop(QUEUE):
            work(settings, threading.Event())
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["succeeded"]


@pytest.mark.parametrize("moment", WORKERS)
def test_a_worker_crash_before_the_finish_leaves_one_artifact(
    settings: Settings, database: Database, tmp_path: Path, moment: str
) -> None:
    save_model(settings.model_root / "tiny")
    settings = settings.model_copy(update={"sweep_seconds": 0.5})
    job_id = insert_job(database)
    dies(settings, WORKERS[moment], RUN_WORKER)
    assert job_row(database, job_id).artifact_prefix is None, "nobody may trust what no job names"
    expire_lease(database, job_id)
    with dispatcher_threads(settings):
        eventually(lambda: work(settings, threading.Event()))
        assert job_row(database, job_id).state == JobState.SUCCEEDED
        assert event_types(database, job_id).count("succeeded") == 1
        assert_one_artifact_and_nothing_else(settings, database, job_id)


def test_a_worker_crash_after_the_finish_leaves_the_job_finished(settings: Settings, database: Database) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database)
    dies(settings, AFTER_THE_FINISH, RUN_WORKER)
    assert job_row(database, job_id).state == JobState.SUCCEEDED
    eventually(lambda: not work(settings, threading.Event()))
    following = insert_job(database)
    assert work(settings, threading.Event())
    GarbageCollector(settings.model_copy(update={"lease_seconds": 0.01})).sweep()
    assert event_types(database, job_id).count("succeeded") == 1
    assert_one_artifact_and_nothing_else(settings, database, job_id, following)


@pytest.mark.parametrize("moment", DELIVERERS)
def test_a_dispatcher_crash_before_the_webhook_keeps_its_id(
    settings: Settings, database: Database, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.test_crash_points.DIE", DIE + SHORT_LEASE)
    save_model(settings.model_root / "tiny")
    settings = settings.model_copy(update={"webhooks_may_be_local": True})
    with receiving() as sink:
        with database.begin() as session:
            session.add(Webhook(tenant="test", url=sink.url, description="", events=["job.succeeded"]))
        job_id = insert_job(database, send=False)
        assert work(settings, threading.Event())
        dies(settings, DELIVERERS[moment], RUN_DISPATCHER)
        before = len(sink.got)
        assert before == (moment == "after it has sent")
        with dispatcher_threads(settings):
            eventually(lambda: len(sink.got) == before + 1)
            eventually(lambda: states_of_deliveries(database) == ["delivered"])
    assert len(set(sink.ids)) == 1, "a receiver that knows ids sees one message"
    assert {json.loads(got.body)["subject"] for got in sink.got} == {str(job_id)}
    assert event_types(database, job_id).count("succeeded") == 1


def states_of_deliveries(database: Database) -> list[str]:
    with database.begin() as session:
        return list(session.scalars(select(Delivery.state)))
