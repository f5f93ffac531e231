"""A run that does not come by to ask whether it should stop, as in a long download."""

import textwrap
from pathlib import Path

import pytest
from sqlalchemy import update

from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support import fork_server
from tests.support.child_environment import environment
from tests.support.job_rows import insert_job, job_row
from tests.support.waiting import CEILING_SECONDS, eventually

SLEEPS = textwrap.dedent("""
    import signal, threading, time
    from service.settings import get_settings
    from worker.attempt import runner
    from worker.run import lease

    lease.REACTION_SECONDS = 0.5

    def sleep(run):
        run.reporter.tick()
        time.sleep(600)

    runner.prune_and_publish = sleep
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    runner.work(get_settings(), stop)
""")


@pytest.mark.parametrize("wish", ["cancel", "stop"])
def test_a_stuck_attempt_is_ended_and_its_process_killed(
    settings: Settings, database: Database, tmp_path: Path, wish: str
) -> None:
    job_id = insert_job(database)
    with (tmp_path / "worker.log").open("wb") as output:
        process = fork_server.start(("tests.support.given_program",), environment(settings), output, given=SLEEPS)
    try:
        eventually(lambda: job_row(database, job_id).state == JobState.RUNNING)
        if wish == "stop":
            process.terminate()
            eventually(lambda: job_row(database, job_id).state == JobState.QUEUED)
        else:
            with database.begin() as session:
                session.execute(update(Job).where(Job.id == job_id).values(state=JobState.CANCELLING))
            eventually(lambda: job_row(database, job_id).state == JobState.CANCELLED)
        process.wait(CEILING_SECONDS)
    finally:
        process.kill()
        process.wait()
