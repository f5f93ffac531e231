"""What the dispatcher removes, and what it must not touch, on a real database and a local store."""

from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from sqlalchemy import Table, delete, func, insert, select, update

from service.artifacts import repository as artifacts
from service.contract.artifacts import artifact_prefix
from service.contract.devices import DeviceClass
from service.contract.states import JobState
from service.database import engine
from service.database.engine import Database, table_of
from service.database.tables.attempts import Attempt
from service.database.tables.idempotency import KeyedAnswer
from service.database.tables.jobs import Job
from service.database.tables.workers import Worker
from service.dispatcher import garbage_collection
from service.dispatcher.garbage_collection import GarbageCollector
from service.idempotency import repository as idempotency
from service.jobs import repository as jobs
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import StaleFence
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreRefused
from service.workers import repository as workers
from service.workers.repository import Identity, Usage, seen
from tests.support.ended_jobs import LOST, claim, ended, make_older, put, store_of, write
from tests.support.job_rows import event_types, insert_job, job_row
from tests.support.log_rows import make_lines_older, texts_of, write_lines

DAY = 86_400.0


@pytest.fixture
def sweeper(settings: Settings) -> GarbageCollector:
    return GarbageCollector(settings)


def test_files_of_a_lost_attempt_are_deleted_after_its_lease(
    settings: Settings, database: Database, sweeper: GarbageCollector
) -> None:
    job_id, attempt, blocks = ended(database, settings, "lost")
    sweeper.sweep()
    assert attempt.exists()
    make_older(database, settings.lease_seconds + 1)
    sweeper.sweep()
    assert not attempt.exists()
    assert blocks.exists(), "the job goes on, from its blocks"
    assert job_row(database, job_id).state == JobState.QUEUED


def test_an_artifact_is_kept_and_the_blocks_of_its_job_deleted(
    settings: Settings, database: Database, sweeper: GarbageCollector
) -> None:
    _, artifact, blocks = ended(database, settings, "succeeded")
    make_older(database, settings.lease_seconds + 1)
    sweeper.sweep()
    assert artifact.exists()
    assert not blocks.exists()


def test_the_blocks_of_a_failed_job_are_kept_for_a_while(
    settings: Settings, database: Database, sweeper: GarbageCollector
) -> None:
    _, attempt, blocks = ended(database, settings, "failed")
    make_older(database, settings.keep_blocks_seconds - 60)
    sweeper.sweep()
    assert (attempt.exists(), blocks.exists()) == (False, True)
    make_older(database, 120)
    sweeper.sweep()
    assert not blocks.exists()


def test_files_of_a_running_attempt_are_kept(settings: Settings, database: Database, sweeper: GarbageCollector) -> None:
    insert_job(database)
    found = claim(database)
    folder = put(settings, artifact_prefix(found.job_id, found.fence))
    make_older(database, DAY)
    sweeper.sweep()
    assert folder.exists()


def test_old_artifacts_are_deleted_and_their_jobs_say_so(settings: Settings, database: Database) -> None:
    keeping = GarbageCollector(settings.model_copy(update={"keep_artifacts_seconds": DAY}))
    old, artifact, _ = ended(database, settings, "succeeded")
    make_older(database, DAY + 1)
    young, kept, _ = ended(database, settings, "succeeded")
    keeping.sweep()
    assert (artifact.exists(), kept.exists()) == (False, True)
    assert job_row(database, old).artifact_removed_at is not None
    assert event_types(database, old)[-1] == "artifact_removed"
    assert job_row(database, young).artifact_removed_at is None


def test_the_oldest_artifacts_over_the_byte_quota_are_deleted(settings: Settings, database: Database) -> None:
    limited = GarbageCollector(settings.model_copy(update={"max_artifact_bytes": 25}))
    folders = []
    for _ in range(4):
        make_older(database, 100)
        folders.append(ended(database, settings, "succeeded", size=10)[1])
    make_older(database, 100)
    limited.sweep()
    assert [folder.exists() for folder in folders] == [False, False, True, True]


def test_an_artifact_over_the_quota_is_kept_until_a_newer_one(settings: Settings, database: Database) -> None:
    limited = GarbageCollector(settings.model_copy(update={"max_artifact_bytes": 5}))
    _, first, _ = ended(database, settings, "succeeded")
    make_older(database, 100)
    limited.sweep()
    assert first.exists()
    _, second, _ = ended(database, settings, "succeeded")
    make_older(database, 100)
    limited.sweep()
    assert (first.exists(), second.exists()) == (False, True)


@pytest.mark.parametrize("how", ["succeeded", "failed"])
def test_a_deleted_job_leaves_no_files_and_rows(
    settings: Settings, database: Database, sweeper: GarbageCollector, how: str
) -> None:
    job_id, _, _ = ended(database, settings, how)
    _, others, _ = ended(database, settings, "succeeded")
    with database.begin() as session:
        jobs.mark_deleted(session, job_id)
    make_older(database, settings.lease_seconds + 1)
    sweeper.sweep()
    assert not (store_of(settings) / "jobs" / str(job_id)).exists()
    assert others.exists()
    with database.begin() as session:
        assert session.scalars(select(func.count()).select_from(Job).where(Job.id == job_id)).one() == 0


def test_a_store_outage_loses_no_deletion(settings: Settings, database: Database, sweeper: GarbageCollector) -> None:
    job_id, attempt, _ = ended(database, settings, "failed")
    make_older(database, settings.lease_seconds + 1)
    away = GarbageCollector(settings.model_copy(update={"artifact_url": "s3://bucket/prefix"}))
    assert not away.sweep()
    assert sweeper.sweep()
    assert not attempt.exists()
    assert job_row(database, job_id).state == JobState.FAILED


class Panic(BaseException):
    """An error of a library in Rust, which is no Exception."""


@pytest.mark.parametrize("error", [OSError, ValueError, Panic])
def test_a_rule_that_fails_does_not_stop_the_others(
    settings: Settings, database: Database, sweeper: GarbageCollector, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    _, attempt, _ = ended(database, settings, "failed")
    make_older(database, settings.lease_seconds + 1)
    with monkeypatch.context() as broken:
        broken.setattr(workers, "forget", Mock(side_effect=error()))
        assert not GarbageCollector(settings).sweep()
    assert not attempt.exists()
    assert sweeper.sweep()


def test_files_that_may_not_be_deleted_hold_up_no_others(
    settings: Settings, database: Database, sweeper: GarbageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_BATCH", 1)
    _, kept, _ = ended(database, settings, "failed")
    make_older(database, 60)
    _, swept, _ = ended(database, settings, "failed")
    make_older(database, settings.lease_seconds + 1)
    remove = ArtifactStore.remove

    def refusing(store: ArtifactStore, prefix: str) -> int:
        if kept.match(f"*/{prefix}"):
            raise StoreRefused(PermissionError())
        return remove(store, prefix)

    with monkeypatch.context() as limited:
        limited.setattr(ArtifactStore, "remove", refusing)
        assert sweeper.sweep()
    assert (kept.exists(), swept.exists()) == (True, False)
    assert sweeper.sweep()
    assert not kept.exists()


def test_a_rule_with_much_to_do_takes_several_rounds(
    settings: Settings, database: Database, sweeper: GarbageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BATCH", 1)
    monkeypatch.setattr(garbage_collection, "_BATCHES", 2)
    with database.begin() as session:
        for number in range(3):
            idempotency.put(session, "test", str(number), fingerprint=b"f", status=201, headers={}, body="{}")
        session.execute(update(KeyedAnswer).values(created_at=func.now() - timedelta(seconds=DAY + 1)))
    left = []
    for _ in range(2):
        sweeper.sweep()
        with database.begin() as session:
            left.append(len(session.scalars(select(KeyedAnswer.key)).all()))
    assert left == [1, 0]


def test_workers_gone_for_long_are_deleted(settings: Settings, database: Database, sweeper: GarbageCollector) -> None:
    def appears(name: str) -> None:
        identity = Identity(name, "host", DeviceClass.CPU, "a processor", None, 1, {})
        with database.begin() as session:
            seen(session, identity, Usage(1, 1))

    appears("old")
    make_older(database, DAY + 1)
    appears("young")
    sweeper.sweep()
    with database.begin() as session:
        assert session.scalars(select(Worker.id)).all() == ["young"]


def rows_of(database: Database, job_id: UUID) -> list[tuple[Table, dict[str, Any]]]:
    """The job and its attempts, as a dump has them."""
    with database.begin() as session:
        tables = (table_of(Job), Job.id), (table_of(Attempt), Attempt.job_id)
        return [
            (table, dict(row._mapping))
            for table, owner in tables
            for row in session.execute(select(table).where(owner == job_id))
        ]


def test_a_restored_database_reuses_no_fence_and_takes_no_later_artifact(
    settings: Settings, database: Database, sweeper: GarbageCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = insert_job(database)
    with monkeypatch.context() as an_hour_ago:
        an_hour_ago.setattr(repository, "_FENCES_SINCE", repository._FENCES_SINCE + 3600)
        dumped = claim(database)
        dump = rows_of(database, job_id)
        write(database, transitions.expire_lease, dumped)
        lost = claim(database)
        artifact = put(settings, artifact_prefix(job_id, lost.fence))
        write(database, transitions.succeed, lost, metrics={}, artifact_prefix=artifact_prefix(job_id, lost.fence))
    with database.begin() as session:
        session.execute(delete(Job).where(Job.id == job_id))
        for table, row in dump:
            generated = {column.name for column in table.columns if column.computed is not None}
            session.execute(insert(table).values({name: value for name, value in row.items() if name not in generated}))
    write(database, transitions.expire_lease, dumped)
    again = claim(database)
    leftover = put(settings, artifact_prefix(job_id, again.fence))
    with pytest.raises(StaleFence):
        write(database, transitions.succeed, lost, metrics={}, artifact_prefix="of a worker that was not stopped")
    write(database, transitions.fail, again, LOST, retry_seconds=0)
    make_older(database, DAY)
    sweeper.sweep()
    assert artifact.exists()
    assert not leftover.exists()


def test_log_lines_are_deleted_after_their_retention_and_newer_ones_are_kept(
    settings: Settings, database: Database, sweeper: GarbageCollector
) -> None:
    old, new = insert_job(database), insert_job(database)
    for job_id in (old, new):
        write_lines(database, job_id, "a", "b")
    make_lines_older(database, old, settings.keep_logs_seconds + 60)
    make_lines_older(database, new, settings.keep_logs_seconds - 60)
    assert sweeper.sweep()
    assert (texts_of(database, old), texts_of(database, new)) == ([], ["a", "b"])


def test_idempotency_keys_expire_after_a_day(settings: Settings, database: Database, sweeper: GarbageCollector) -> None:
    for key, age in (("old", DAY + 1), ("young", DAY - 60)):
        with database.begin() as session:
            idempotency.put(session, "test", key, fingerprint=b"f", status=201, headers={}, body="{}")
            row = update(KeyedAnswer).where(KeyedAnswer.key == key)
            session.execute(row.values(created_at=func.now() - timedelta(seconds=age)))
    sweeper.sweep()
    with database.begin() as session:
        assert session.scalars(select(KeyedAnswer.key)).all() == ["young"]
