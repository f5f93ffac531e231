"""The workers' database role: enough for a whole job, and nothing more."""

import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect, text
from sqlalchemy.exc import ProgrammingError

from service.contract.devices import DeviceClass
from service.contract.states import JobState
from service.database import schema, worker_role
from service.database.engine import Database
from service.database.tables.mlflow import MlflowExport
from service.database.tables.webhooks import Delivery, Webhook
from service.jobs.attempts import repository, transitions
from service.ops import installation
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.job_rows import insert_job, job_row
from tests.support.log_rows import texts_of
from tests.support.restricted_role import restricted_role
from tests.support.tiny_model import save_model
from tests.support.worker_logging import logging_like_a_worker
from worker.attempt.runner import work


@pytest.fixture
def limited(settings: Settings) -> Iterator[Settings]:
    """The settings of a worker with the role."""
    with restricted_role(settings.database_url.get_secret_value()) as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def test_a_worker_with_the_role_runs_a_job(limited: Settings, database: Database) -> None:
    save_model(limited.model_root / "tiny")
    with database.begin() as session:
        session.add(Webhook(tenant="test", url="https://example.com", description="", events=["job.succeeded"]))
    identity = Identity("w", "host", DeviceClass.CPU, "a processor", None, 1, {})
    evaluation = {"perplexity": ["wiki-sample"], "sequence_length": 16, "max_windows": 2}
    job_id = insert_job(database, evaluation=evaluation, output={"mlflow": {}})
    assert schema.revisions(limited.database_url.get_secret_value()).problem is None
    assert installation.broker_prefix(limited.model_copy(update={"broker_prefix": None})).startswith("dsnot-")
    own = Database(limited.database_url.get_secret_value())
    with own.begin() as session:
        workers.started(session, identity, Usage(1, 1))
        workers.stopped(session, "w")
        lost = repository.claim_next(session, worker="w", device=DeviceClass.CPU, lease_seconds=60)
        assert lost is not None
        transitions.give_up(session, job_id, lost.fence)
    own.close()
    with logging_like_a_worker(limited):
        assert work(limited, threading.Event())
    assert "artifact_published" in texts_of(database, job_id)[-1]
    assert job_row(database, job_id).state == JobState.SUCCEEDED, job_row(database, job_id).error
    with database.begin() as session:
        assert session.query(Delivery).count() == 1
        assert session.query(MlflowExport).count() == 1


def test_the_role_reads_no_secrets(limited: Settings, database: Database) -> None:
    own = Database(limited.database_url.get_secret_value())
    tables = set(inspect(database.engine).get_table_names()) - {"webhooks"} - worker_role.RIGHTS.keys()
    assert {"api_keys", "sessions", "audit_entries", "triggers"} <= tables
    for wanted in (
        *(f"TABLE {table}" for table in sorted(tables)),
        "SELECT url FROM webhooks",
        "SELECT max_queued_jobs FROM tenant_quotas",
        "SELECT text FROM job_logs",
        "DELETE FROM jobs",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), own.begin() as session:
            session.execute(text(wanted))
    own.close()


@pytest.mark.parametrize("user", ["", "someone@", "owner:x@"])
def test_a_role_needs_a_name_and_a_password_of_its_own(user: str) -> None:
    with pytest.raises(ValueError, match="a user and a password of its own"):
        worker_role.ensure("postgresql://owner:x@host/d", f"postgresql://{user}host/d")
