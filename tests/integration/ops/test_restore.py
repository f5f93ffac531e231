"""Restores of database and artifact store to different points, by pg_dump and pg_restore: losses are found and repaired."""

import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update

from service.contract.artifacts import MANIFEST_NAME, Manifest, ManifestFile, artifact_prefix
from service.database.engine import Database
from service.database.tables.installation import Installation
from service.dispatcher.garbage_collection import GarbageCollector
from service.embedded import postgres
from service.jobs.attempts import transitions
from service.kit.files import sha256_of
from service.ops.consistency.hashes import Hashes
from service.ops.doctor.deep import examine_store
from service.ops.doctor.findings import Verdict
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from tests.support.dataset_uploads import upload
from tests.support.ended_jobs import claim, make_older, store_of, write
from tests.support.job_rows import event_types, insert_job, job_row

DAY = 86_400.0


def publish(database: Database, settings: Settings, content: bytes = b"weights") -> tuple[UUID, Path]:
    """A job of tenant acme with an artifact; the folder of the artifact."""
    insert_job(database, tenant="acme")
    found = claim(database)
    prefix = artifact_prefix(found.job_id, found.fence)
    folder = store_of(settings) / prefix
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content)
    file = ManifestFile(path="model.safetensors", bytes=len(content), sha256=sha256_of(folder / "model.safetensors"))
    manifest = Manifest(job_id=str(found.job_id), fence=found.fence, files=[file])
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json())
    write(database, transitions.succeed, found, metrics={}, artifact_prefix=prefix)
    return found.job_id, folder


@pytest.fixture
def dump(database: Database, database_url: str, tmp_path: Path) -> Callable[[], Callable[[], None]]:
    """Dump the database as the page about backups shows; the result restores it."""

    def run(tool: str, *options: str) -> None:
        subprocess.run([postgres._wheel_programs() / tool, *options], check=True, timeout=90)

    def take() -> Callable[[], None]:
        file = tmp_path / f"{uuid4()}.dump"
        run("pg_dump", "--format", "custom", "--file", str(file), database_url)

        def restore() -> None:
            database.engine.dispose()
            run("pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname", database_url, str(file))

        return restore

    return take


def deep(settings: Settings, **options: bool) -> dict[str, tuple[Verdict, str]]:
    findings, _ = examine_store(settings, hashes=Hashes.ALL, **options)
    return {finding.check: (finding.verdict, finding.found) for finding in findings}


def collect(settings: Settings, database: Database) -> None:
    """Two rounds of garbage collection, long after all attempts have ended."""
    make_older(database, DAY)
    for _ in range(2):
        assert GarbageCollector(settings.model_copy(update={"upload_sweep_seconds": 0.0})).sweep()


def make_files_older(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - DAY, time.time() - DAY))


def test_a_store_and_its_database_agree(settings: Settings, database: Database, api: httpx.Client) -> None:
    publish(database, settings)
    upload(api, "a text")
    make_files_older(store_of(settings))
    assert deep(settings) == {
        "artifacts": (Verdict.OK, "1 artifacts compared by size, 1 also by SHA-256"),
        "data sets": (Verdict.OK, "1 data sets have their files"),
        "objects": (Verdict.OK, "rows name all objects"),
    }


def test_a_database_restored_to_an_earlier_point_leaves_objects_without_rows(
    settings: Settings, database: Database, api: httpx.Client, dump: Callable[[], Callable[[], None]]
) -> None:
    kept, kept_folder = publish(database, settings)
    restore = dump()
    later, later_folder = publish(database, settings, b"later")
    upload(api, "a later text")
    make_files_older(store_of(settings))
    [text] = [path for path in (store_of(settings) / "datasets").rglob("*") if path.is_file()]
    restore()
    collect(settings, database)
    assert kept_folder.exists()
    assert later_folder.exists(), "garbage collection deletes nothing that no row names"
    verdict, found = deep(settings)["objects"]
    assert verdict == Verdict.FAIL
    assert found.startswith("3 objects that no row names")
    assert f"jobs/{later}" in found
    assert text.name in found
    assert deep(settings)["artifacts"][0] == Verdict.OK

    _, planned = examine_store(settings, hashes=Hashes.NONE, removes=True, is_dry=True)
    assert planned[0].startswith("3 objects would be removed")
    assert later_folder.exists()
    assert text.exists()
    after, done = examine_store(settings, hashes=Hashes.NONE, removes=True)
    assert done[0].startswith("3 objects removed")
    assert {finding.verdict for finding in after} == {Verdict.OK}
    assert not later_folder.parent.exists()
    assert not text.exists()
    assert kept_folder.exists()
    assert api.get(f"/v1/jobs/{kept}/artifacts").status_code == 200
    assert api.get(f"/v1/jobs/{later}").status_code == 404


def test_a_store_restored_to_an_earlier_point_leaves_rows_without_objects(
    settings: Settings, database: Database, api: httpx.Client, tmp_path: Path
) -> None:
    kept, _ = publish(database, settings)
    shutil.copytree(store_of(settings), tmp_path / "copy")
    lost, lost_folder = publish(database, settings, b"later")
    dataset = upload(api, "a later text")["id"]
    shutil.rmtree(store_of(settings))
    shutil.copytree(tmp_path / "copy", store_of(settings))
    found = deep(settings)
    assert found["artifacts"] == (Verdict.FAIL, f"1 without their files: {lost}: all files are missing")
    assert found["data sets"] == (Verdict.FAIL, f"1 without their files: {dataset} of acme: its file is missing")
    assert found["objects"][0] == Verdict.OK

    _, planned = examine_store(settings, hashes=Hashes.NONE, marks=True, is_dry=True)
    assert planned[0].startswith("2 artifacts and data sets would be marked as removed")
    assert job_row(database, lost).artifact_removed_at is None
    after, _ = examine_store(settings, hashes=Hashes.NONE, marks=True)
    assert {finding.verdict for finding in after} == {Verdict.OK}
    assert event_types(database, lost)[-1] == "artifact_removed"
    answer = api.get(f"/v1/jobs/{lost}/artifacts")
    assert (answer.status_code, "create the job again" in answer.json()["detail"]) == (404, True)
    assert api.get(f"/v1/datasets/{dataset}").status_code == 404
    assert api.get(f"/v1/jobs/{kept}/artifacts").status_code == 200
    assert not lost_folder.exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / MANIFEST_NAME).unlink(), "manifest.json is missing"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("{"), "manifest.json cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "model.safetensors has 1 bytes instead of 7"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"WEIGHTS"),
            "the SHA-256 of model.safetensors is not that of the manifest",
        ),
    ],
)
def test_a_damaged_artifact_is_found_and_removed_only_when_it_is_marked(
    settings: Settings, database: Database, damage: Callable[[Path], None], reason: str
) -> None:
    _, good = publish(database, settings)
    job_id, folder = publish(database, settings)
    damage(folder)
    collect(settings, database)
    assert folder.exists()
    assert deep(settings)["artifacts"] == (Verdict.FAIL, f"1 without their files: {job_id}: {reason}")
    assert deep(settings, marks=True)["artifacts"][0] == Verdict.OK
    collect(settings, database)
    assert (folder.exists(), good.exists()) == (False, True)


def test_an_attempt_after_the_dump_is_an_orphan_of_a_known_job(settings: Settings, database: Database) -> None:
    job_id, folder = publish(database, settings)
    unknown = folder.parent / "999999999"
    unknown.mkdir()
    (unknown / "model.safetensors").write_bytes(b"later")
    assert f"jobs/{job_id}/999999999" in deep(settings)["objects"][1]
    assert deep(settings, removes=True)["objects"][0] == Verdict.OK
    assert (unknown.exists(), folder.exists()) == (False, True)


def test_a_restore_that_does_not_fit_is_named_and_nothing_is_changed(settings: Settings, database: Database) -> None:
    job_id, folder = publish(database, settings)
    collect(settings, database)
    (folder / MANIFEST_NAME).unlink()
    with database.begin() as session:
        session.execute(update(Installation).values(id=uuid4()))
    unknown = store_of(settings) / "jobs" / str(uuid4()) / "1" / "file"
    unknown.parent.mkdir(parents=True)
    unknown.write_bytes(b"of another database")
    findings, done = examine_store(settings, hashes=Hashes.ALL, removes=True, marks=True)
    [finding] = findings
    assert (finding.verdict, done) == (Verdict.FAIL, [])
    assert "belongs to the database" in finding.found
    assert finding.found.endswith("nothing was compared or changed")
    assert unknown.exists()
    assert job_row(database, job_id).artifact_removed_at is None


def test_a_bucket_is_compared_and_repaired_like_a_folder(
    settings: Settings, s3_settings: Settings, database: Database, api: httpx.Client
) -> None:
    jobs = {what: publish(database, settings, what.encode()) for what in ("kept", "lost", "damaged")}
    upload(api, "a text")
    bucket, folder = ArtifactStore(s3_settings.artifact_url), store_of(settings)
    for path in folder.rglob("*"):
        if path.is_file() and jobs["lost"][1] not in path.parents:
            content = b"damages" if path == jobs["damaged"][1] / "model.safetensors" else path.read_bytes()
            bucket.put(str(path.relative_to(folder)), io.BytesIO(content))
    orphan = f"jobs/{uuid4()}/1/file"
    bucket.put(orphan, io.BytesIO(b"of nobody"))
    found = deep(s3_settings)
    assert found["artifacts"][0] == Verdict.FAIL
    assert f"{jobs['lost'][0]}: all files are missing" in found["artifacts"][1]
    assert f"{jobs['damaged'][0]}: the SHA-256 of model.safetensors is not that of the manifest" in found["artifacts"][1]
    assert str(jobs["kept"][0]) not in found["artifacts"][1]
    assert found["data sets"] == (Verdict.OK, "1 data sets have their files")
    assert orphan.removesuffix("/1/file") in found["objects"][1]

    repaired = deep(s3_settings, removes=True, marks=True)
    assert {verdict for verdict, _ in repaired.values()} == {Verdict.OK}
    assert not bucket.sizes_below(orphan.removesuffix("/1/file"))
    assert [job_row(database, jobs[what][0]).artifact_removed_at is None for what in jobs] == [True, False, False]
    assert len(bucket.sizes_below(str(jobs["kept"][1].relative_to(folder)))) == 2
