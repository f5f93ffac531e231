"""Retention by age: jobs, sweeps, figures of matrices, audit entries and keys, of each tenant for as long as its quota says."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.contract.sweeps import SweepState
from service.database import engine
from service.database.engine import Base, Database, table_of
from service.database.tables.audit import AuditEntry
from service.database.tables.idempotency import KeyedAnswer
from service.database.tables.jobs import Job, Layer
from service.database.tables.keys import ApiKey
from service.database.tables.sweeps import Sweep
from service.dispatcher import garbage_collection
from service.dispatcher.garbage_collection import GarbageCollector
from service.idempotency import repository as idempotency
from service.jobs.events import repository as events
from service.settings import Settings
from service.tenants.audit.operations import note_command
from service.tenants.keys.operations import create_key
from service.tenants.quotas import operations as quotas
from tests.support.ended_jobs import ended, make_older
from tests.support.job_rows import event_types, insert_job, job_row
from tests.support.log_rows import write_lines

DAY = 86_400.0


def sweep(settings: Settings, **changes: object) -> None:
    assert GarbageCollector(settings.model_copy(update=changes)).sweep()


def all_jobs(database: Database) -> set[UUID]:
    with database.begin() as session:
        return set(session.scalars(select(Job.id)))


def add_layers(database: Database, job_id: UUID, count: int = 3) -> None:
    figures = {"rows": 4, "columns": 4, "sparsity": 0.5, "error_start": 0.1, "error": 0.1, "swaps": 0, "seconds": 0.1, "block": 0}
    rows = [{"job_id": job_id, "position": number, "name": f"m{number}"} | figures for number in range(count)]
    with database.begin() as session:
        session.execute(insert(Layer), rows)


def add_blocks(database: Database, job_id: UUID, count: int = 2) -> None:
    with database.begin() as session:
        for index in range(count):
            events.append(session, job_id, EventType.BLOCK_PRUNED, {"index": index, "total": count})


def count(database: Database, entity: type[Base]) -> int:
    with database.begin() as session:
        return session.scalars(select(func.count()).select_from(entity)).one()


def rows_of(database: Database, job_id: UUID) -> dict[str, int]:
    """Return the number of rows of each table that refer to the job or are it."""
    owners = {table: table.c["job_id"] for table in Base.metadata.sorted_tables if "job_id" in table.c}
    owners[table_of(Job)] = table_of(Job).c["id"]
    with database.begin() as session:
        counts = {
            table.name: session.scalars(select(func.count()).select_from(table).where(owner == job_id)).one()
            for table, owner in owners.items()
        }
    return {name: number for name, number in counts.items() if number}


def test_a_job_past_its_retention_goes_with_its_files_and_all_its_rows(settings: Settings, database: Database) -> None:
    old, artifact, _ = ended(database, settings, "succeeded")
    add_layers(database, old)
    write_lines(database, old, "a line")
    make_older(database, DAY + 60)
    young, kept, _ = ended(database, settings, "succeeded")
    waiting = insert_job(database, age_seconds=2 * DAY)
    assert rows_of(database, old) == {"jobs": 1, "attempts": 1, "job_events": 4, "job_logs": 1, "layers": 3}
    sweep(settings, keep_jobs_seconds=DAY)
    assert not artifact.parent.exists()
    assert rows_of(database, old) == {}
    assert kept.exists()
    assert all_jobs(database) == {young, waiting}


def test_jobs_are_kept_without_a_setting(settings: Settings, database: Database) -> None:
    old, artifact, _ = ended(database, settings, "succeeded")
    make_older(database, 10_000 * DAY)
    sweep(settings)
    assert artifact.exists()
    assert all_jobs(database) == {old}


@pytest.mark.parametrize(
    ("setting", "own", "kept"),
    [
        (DAY, {}, False),
        (DAY, {"keep_jobs_seconds": int(3 * DAY)}, True),
        (DAY, {"keep_jobs_seconds": 0}, True),
        (10 * DAY, {"keep_jobs_seconds": int(DAY)}, False),
        (None, {"keep_jobs_seconds": int(DAY)}, False),
        (None, {"keep_artifacts_seconds": int(DAY)}, True),
    ],
)
def test_a_tenants_own_retention_of_jobs_takes_precedence(
    settings: Settings, database: Database, setting: float | None, own: dict[str, int], kept: bool
) -> None:
    mine, _, _ = ended(database, settings, "succeeded", tenant="mine")
    other, _, _ = ended(database, settings, "succeeded", tenant="other")
    make_older(database, 2 * DAY)
    if own:
        quotas.set_limits(database, "mine", own)
    sweep(settings, keep_jobs_seconds=setting)
    assert (mine in all_jobs(database)) == kept
    assert (other in all_jobs(database)) == (setting != DAY)


def test_a_tenants_own_retention_of_artifacts_takes_precedence(settings: Settings, database: Database) -> None:
    folders = {tenant: ended(database, settings, "succeeded", tenant=tenant)[1] for tenant in ("short", "long", "other")}
    make_older(database, 2 * DAY)
    quotas.set_limits(database, "short", {"keep_artifacts_seconds": int(DAY)})
    quotas.set_limits(database, "long", {"keep_artifacts_seconds": 0})
    sweep(settings, keep_artifacts_seconds=3 * DAY)
    assert [name for name, folder in folders.items() if folder.exists()] == ["long", "other"]
    sweep(settings, keep_artifacts_seconds=DAY)
    assert [name for name, folder in folders.items() if folder.exists()] == ["long"]


def test_a_job_whose_artifact_is_being_pruned_is_kept_until_then(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.retention.repository._BATCH", 1)
    used, artifact, _ = ended(database, settings, "succeeded")
    make_older(database, DAY)
    ended(database, settings, "succeeded")
    make_older(database, 2 * DAY)
    user = insert_job(database, model={"source": "job", "id": str(used)})
    sweep(settings, keep_jobs_seconds=DAY)
    assert artifact.exists()
    assert all_jobs(database) == {used, user}, "the used job holds up no other, even in batches of one"
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == user).values(state=JobState.CANCELLED, finished_at=func.now()))
    sweep(settings, keep_jobs_seconds=DAY)
    assert all_jobs(database) == {user}


def test_a_sweep_and_its_jobs_expire_together(settings: Settings, database: Database) -> None:
    sweep_id = uuid4()
    first, _, _ = ended(database, settings, "succeeded")
    last, _, _ = ended(database, settings, "succeeded")
    make_older(database, 2 * DAY)
    with database.begin() as session:
        session.add(Sweep(id=sweep_id, tenant="test", model="tiny", labels={}, spec={}))
        session.execute(update(Job).values(sweep_id=sweep_id, sweep_position=0, sweep_seq=1))
    sweep(settings, keep_jobs_seconds=DAY)
    assert all_jobs(database) == {first, last}, "the sweep has not ended"
    ends = update(Sweep).values(state=SweepState.FINISHED)
    with database.begin() as session:
        session.execute(ends.values(finished_at=func.now() - timedelta(seconds=DAY - 60)))
    sweep(settings, keep_jobs_seconds=DAY)
    assert all_jobs(database) == {first, last}, "the sweep has ended later than the jobs"
    with database.begin() as session:
        session.execute(ends.values(finished_at=func.now() - timedelta(seconds=DAY + 60)))
    for _ in range(2):
        sweep(settings, keep_jobs_seconds=DAY)
    assert (all_jobs(database), count(database, Sweep)) == (set(), 0)


def test_figures_of_matrices_and_blocks_go_and_the_job_says_so(
    settings: Settings, database: Database, api: httpx.Client, visitor: httpx.Client
) -> None:
    old, artifact, _ = ended(database, settings, "succeeded", tenant="acme")
    types = event_types(database, old)
    add_layers(database, old)
    add_blocks(database, old)
    make_older(database, settings.keep_layers_seconds or 0)
    young, _, _ = ended(database, settings, "succeeded", tenant="acme")
    add_layers(database, young)
    add_blocks(database, young)
    sweep(settings)
    assert api.get(f"/v1/jobs/{old}/layers").json()["items"] == []
    assert api.get(f"/v1/jobs/{old}").json()["layers_removed_at"] is not None
    assert "were removed on" in visitor.get(f"/jobs/{old}/layers").text
    assert len(api.get(f"/v1/jobs/{young}/layers").json()["items"]) == 3
    assert "were removed on" not in visitor.get(f"/jobs/{young}/layers").text
    assert api.get(f"/v1/jobs/{young}").json()["layers_removed_at"] is None
    assert artifact.exists()
    assert event_types(database, old) == types
    assert event_types(database, young)[-2:] == ["block_pruned", "block_pruned"]


def test_events_after_a_thinned_jobs_blocks_are_read_from_any_number(
    settings: Settings, database: Database, api: httpx.Client
) -> None:
    job_id, _, _ = ended(database, settings, "succeeded", tenant="acme")
    add_blocks(database, job_id)
    with database.begin() as session:
        events.append(session, job_id, EventType.ARTIFACT_REMOVED, {})
    last = event_types(database, job_id).index("artifact_removed") + 1
    make_older(database, settings.keep_layers_seconds or 0)
    sweep(settings)
    for after in (last - 3, last - 2, last - 1):
        found = api.get(f"/v1/jobs/{job_id}/events", params={"after": after}).json()["items"]
        assert [(event["seq"], event["type"]) for event in found] == [(last, "artifact_removed")]


def test_an_empty_variable_means_unlimited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("keep_jobs_seconds", "keep_artifacts_seconds", "keep_layers_seconds")
    for name in names:
        monkeypatch.setenv(f"DSNOT_{name.upper()}", "")
    servers = {
        name: getattr(settings, name) for name in ("database_url", "broker_url", "artifact_url", "model_root", "cache_dir")
    }
    assert [getattr(Settings(**servers), name) for name in names] == [None, None, None]
    monkeypatch.setenv("DSNOT_KEEP_LAYERS_SECONDS", "0")
    with pytest.raises(ValueError, match="greater than 0"):
        Settings(**servers)


def test_figures_of_matrices_are_kept_for_an_empty_setting_and_a_tenants_zero(settings: Settings, database: Database) -> None:
    mine, _, _ = ended(database, settings, "succeeded", tenant="mine")
    add_layers(database, mine)
    make_older(database, 1000 * DAY)
    sweep(settings, keep_layers_seconds=None)
    quotas.set_limits(database, "mine", {"keep_layers_seconds": 0})
    sweep(settings)
    assert job_row(database, mine).layers_removed_at is None
    assert count(database, Layer) == 3


def test_audit_entries_and_ended_keys_go_after_the_tenants_retention(settings: Settings, database: Database) -> None:
    for tenant in ("short", "long", "other"):
        for name in ("revoked", "expired", "valid"):
            create_key(database, tenant=tenant, name=name, scopes=[Scope.JOBS_READ])
        note_command(database, tenant=tenant, action="set_quota", path="/v1/quota")
    past = func.now() - timedelta(days=3)
    with database.begin() as session:
        session.execute(update(AuditEntry).values(created_at=past))
        session.execute(update(ApiKey).where(ApiKey.name == "revoked").values(revoked_at=past))
        session.execute(update(ApiKey).where(ApiKey.name == "expired").values(expires_at=past))
    quotas.set_limits(database, "short", {"keep_audit_seconds": int(DAY)})
    quotas.set_limits(database, "long", {"keep_audit_seconds": 0})

    def left() -> tuple[list[str], list[tuple[str, str]]]:
        with database.begin() as session:
            keys = session.execute(select(ApiKey.tenant, ApiKey.name).order_by(ApiKey.tenant, ApiKey.name))
            return list(session.scalars(select(AuditEntry.tenant).order_by(AuditEntry.tenant))), list(keys.tuples())

    every = [(tenant, name) for tenant in ("long", "other", "short") for name in ("expired", "revoked", "valid")]
    sweep(settings, keep_audit_seconds=4 * DAY)
    assert left() == (["long", "other"], [each for each in every if each[0] != "short" or each[1] == "valid"])
    sweep(settings, keep_audit_seconds=2 * DAY)
    assert left() == (["long"], [each for each in every if each[0] == "long" or each[1] == "valid"])


def test_a_slow_rule_takes_one_batch_and_holds_up_no_other(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BATCH", 1)
    monkeypatch.setattr("service.jobs.retention.repository._BATCH", 1)
    monkeypatch.setattr(garbage_collection, "_RULE_SECONDS", 0.0)
    for number in range(3):
        ended(database, settings, "succeeded")
        with database.begin() as session:
            idempotency.put(session, "test", str(number), fingerprint=b"f", status=201, headers={}, body="{}")
    make_older(database, 2 * DAY)
    with database.begin() as session:
        session.execute(update(KeyedAnswer).values(created_at=func.now() - timedelta(days=2)))
    left = []
    for _ in range(3):
        sweep(settings, keep_jobs_seconds=DAY)
        left.append((len(all_jobs(database)), count(database, KeyedAnswer)))
    assert left == [(2, 2), (1, 1), (0, 0)]
