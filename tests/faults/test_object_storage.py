"""Attempts that publish into an S3 server behind a proxy that gets in the way: right bytes, or a typed failure."""

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from service.contract.artifacts import Manifest
from service.contract.states import JobState, Stage
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.dispatcher.abandoned_uploads import abort_abandoned
from service.dispatcher.garbage_collection import GarbageCollector
from service.ops.doctor.findings import Verdict
from service.ops.doctor.operations import examine
from service.settings import Settings
from service.storage.open_uploads import OpenUploads
from service.storage.opening import open_at
from service.storage.removal import remove_below
from tests.support.http_fault_proxy import Fault, FaultProxy, Plan, Request, in_front_of
from tests.support.job_rows import attempts_of, events_of, insert_job, job_row
from tests.support.long_jobs import expire_lease
from tests.support.processes import working
from tests.support.swift import S3
from tests.support.threads import attempt_thread, dispatcher_threads
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from worker.attempt.runner import work
from worker.store_transfer import paths_below, upload


@pytest.fixture
def proxy(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with in_front_of(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        yield proxy


@pytest.fixture
def job(s3_settings: Settings, database: Database) -> UUID:
    """Its artifact has one file of several parts."""
    save_model(s3_settings.model_root / "wide", layers=1, width=512)
    return insert_job(database, model={"source": "local", "id": "wide"}, max_attempts=1)


def while_publishing(database: Database, job_id: UUID, fault: Fault, every: int) -> Plan:
    """The fault meets every so-manieth request from the stage on in which the artifact is published."""
    met = 0

    def plan(_: Request) -> Fault | None:
        nonlocal met
        if job_row(database, job_id).stage != Stage.PUBLISHING:
            return None
        met += 1
        return fault if met % every == 0 else None

    return plan


def assert_right_bytes(s3: S3, bucket: str, database: Database, job_id: UUID, settings: Settings) -> None:
    prefix = f"below/here/{job_row(database, job_id).artifact_prefix}"
    client = s3.client()
    manifest = Manifest.model_validate_json(client.get_object(Bucket=bucket, Key=f"{prefix}/manifest.json")["Body"].read())
    assert max(file.bytes for file in manifest.files) > 5 << 20
    for file in manifest.files:
        content = client.get_object(Bucket=bucket, Key=f"{prefix}/{file.path}")["Body"].read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    expected = [f"{prefix}/{file.path}" for file in manifest.files] + [f"{prefix}/manifest.json"]
    eventually(lambda: sorted(s3.keys(bucket, "below/here/jobs/")) == sorted(expected))  # when the rest is swept


def is_manifest(request: Request) -> bool:
    return re.search(r"/jobs/[^/]+/\d+/manifest\.json$", request.path) is not None


PASSING = [(Fault.ERROR, 3), (Fault.BUSY, 3), (Fault.SLOW, 1), (Fault.CUT_REQUEST, 3), (Fault.TRUNCATE, 5), (Fault.HANG, 9)]


@pytest.mark.parametrize(("fault", "every"), PASSING)
def test_transient_errors_are_retried(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, job: UUID, fault: Fault, every: int
) -> None:
    proxy.plan = while_publishing(database, job, fault, every)
    patient = s3_settings.model_copy(update={"store_retry_seconds": 30.0})
    assert work(patient, threading.Event())
    assert job_row(database, job).state == JobState.SUCCEEDED, job_row(database, job).error
    assert proxy.hit > 0
    assert_right_bytes(s3, bucket, database, job, s3_settings)
    assert s3.open_uploads(bucket) == []


def test_an_error_body_that_breaks_off_is_retried(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, job: UUID
) -> None:
    """That there is no manifest yet: cut in the middle of saying so."""
    proxy.plan = lambda request: Fault.TRUNCATE if is_manifest(request) and proxy.hit < 2 else None
    assert work(s3_settings, threading.Event())
    assert job_row(database, job).state == JobState.SUCCEEDED, job_row(database, job).error
    assert proxy.hit == 2
    assert_right_bytes(s3, bucket, database, job, s3_settings)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.CUT_REQUEST, Fault.CUT_ANSWER])
def test_a_manifest_write_with_unknown_result_is_repeated(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, job: UUID, fault: Fault
) -> None:
    def plan(request: Request) -> Fault | None:
        return fault if (request.method, proxy.hit) == ("PUT", 0) and is_manifest(request) else None

    proxy.plan = plan
    assert work(s3_settings, threading.Event())
    assert job_row(database, job).state == JobState.SUCCEEDED, job_row(database, job).error
    assert proxy.hit == 1
    assert_right_bytes(s3, bucket, database, job, s3_settings)


def test_a_listing_that_breaks_off_is_retried(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    names = [f"{number}.safetensors" for number in range(20)]
    for name in names:
        s3.client().put_object(Bucket=bucket, Key=f"blocks/{name}", Body=b"")
    proxy.plan = lambda request: Fault.TRUNCATE if "list-type" in request.path and proxy.hit < 2 else None
    assert paths_below(open_at(f"s3://{bucket}"), "blocks") == sorted(f"blocks/{name}" for name in names)
    assert proxy.hit == 2


@pytest.mark.parametrize("fault", [Fault.CUT_ANSWER, Fault.SHORTEN])
def test_ambiguous_writes_end_in_correct_bytes_or_typed_failures(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, job: UUID, fault: Fault
) -> None:
    proxy.plan = while_publishing(database, job, fault, 4)
    assert work(s3_settings, threading.Event())
    row = job_row(database, job)
    assert proxy.hit > 0
    if row.state == JobState.SUCCEEDED:
        assert_right_bytes(s3, bucket, database, job, s3_settings)
    else:
        assert row.error is not None
        assert row.error["code"] == "artifact-upload-failed"
        assert row.artifact_prefix is None
    proxy.plan = lambda _: None
    abort_abandoned(database, OpenUploads(open_at(s3_settings.artifact_url)))
    assert s3.open_uploads(bucket) == []


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.CUT_REQUEST])
def test_a_permanent_error_is_typed_and_a_retry_cleans_up(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, fault: Fault
) -> None:
    save_model(s3_settings.model_root / "wide", layers=1, width=512)
    job = insert_job(database, model={"source": "local", "id": "wide"})
    parts = while_publishing(database, job, fault, 1)
    proxy.plan = lambda request: parts(request) if "uploadId" in request.path or request.method == "DELETE" else None
    assert work(s3_settings.model_copy(update={"store_retry_seconds": 1.0}), threading.Event())
    (attempt,) = attempts_of(database, job)
    assert attempt.detail is not None
    assert attempt.detail.startswith("artifact-upload-failed")
    assert s3.open_uploads(bucket) != []
    proxy.plan = lambda _: None
    eventually(lambda: work(s3_settings, threading.Event()))
    assert job_row(database, job).state == JobState.SUCCEEDED
    assert_right_bytes(s3, bucket, database, job, s3_settings)
    assert s3.open_uploads(bucket) == []


@pytest.mark.parametrize("follower", ["the next attempt", "a dispatcher, for nobody follows"])
def test_uploads_of_a_killed_worker_are_aborted(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, tmp_path: Path, follower: str
) -> None:
    save_model(s3_settings.model_root / "wide", layers=1, width=512)
    proxy.plan = lambda request: Fault.HANG if "partNumber=2" in request.path else None
    settings = s3_settings.model_copy(update={"store_timeout_seconds": 60.0, "upload_sweep_seconds": 0.5, "sweep_seconds": 0.5})
    attempts = 2 if follower == "the next attempt" else 1
    with (
        working(settings, tmp_path) as worker,
        dispatcher_threads(settings.model_copy(update={"upload_sweep_seconds": 600, "sweep_seconds": 0.5})),
    ):
        job = insert_job(database, model={"source": "local", "id": "wide"}, max_attempts=attempts)
        eventually(lambda: any("partNumber=2" in request.path for request in proxy.seen))
        assert s3.open_uploads(bucket) != []
        worker.child().kill()
        expire_lease(database, job)
        proxy.plan = lambda _: None
        eventually(lambda: job_row(database, job).finished_at)
    if attempts == 2:
        assert_right_bytes(s3, bucket, database, job, s3_settings)
    else:
        assert (job_row(database, job).error or {})["code"] == "worker-lost"
        assert s3.open_uploads(bucket) != []
        with dispatcher_threads(settings):
            eventually(lambda: s3.open_uploads(bucket) == [])
    assert s3.open_uploads(bucket) == []


def test_every_upload_has_a_checksum_and_every_deletion_is_single(proxy: FaultProxy, bucket: str, tmp_path: Path) -> None:
    """As a bucket with object lock wants the one, and providers without DeleteObjects want the other."""

    def plan(request: Request) -> Fault | None:
        is_part = request.method == "PUT" and "x-amz-checksum-sha256" not in {name.lower() for name in request.headers}
        return Fault.DENIED if is_part else Fault.MISSING if request.method == "POST" and "?delete" in request.path else None

    proxy.plan = plan
    store = open_at(f"s3://{bucket}/below")
    for name, size in (("small", 10), ("large", 9 << 20)):
        (tmp_path / name).write_bytes(b"x" * size)
        upload(store, f"jobs/{name}", tmp_path / name, name, lambda _: None)
    assert remove_below(store, "jobs") == 2
    assert paths_below(store, "jobs") == []
    assert (proxy.hit, len([each for each in proxy.seen if each.method == "PUT"])) == (0, 3)


def lacks_rights(request: Request) -> Fault | None:
    """Those to list multipart uploads and to delete."""
    return Fault.DENIED if request.method == "DELETE" or "uploads" in request.path.partition("?")[2] else None


def test_missing_rights_are_named_by_the_doctor_and_fail_no_sweep(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy
) -> None:
    proxy.plan = lacks_rights
    with capture_logs() as logs:
        assert GarbageCollector(s3_settings.model_copy(update={"upload_sweep_seconds": 0.0})).sweep()
    assert "uploads_not_aborted" in [line["event"] for line in logs]
    (found,) = [each for each in examine(s3_settings) if each.check == "artifact store"]
    assert found.verdict == Verdict.WARN
    assert "s3:DeleteObject" in found.remedy
    assert "s3:ListBucketMultipartUploads" in found.remedy


def test_an_upload_of_a_running_attempt_is_kept(s3: S3, bucket: str, s3_settings: Settings, database: Database) -> None:
    uploads = OpenUploads(open_at(s3_settings.artifact_url))
    running, ended = insert_job(database), insert_job(database)
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == running).values(state=JobState.RUNNING, fence=2))
    parts = [(running, "2"), (running, "1"), (running, "blocks"), (ended, "1"), (ended, "blocks")]
    for job, part in parts:
        s3.client().create_multipart_upload(Bucket=bucket, Key=f"below/here/jobs/{job}/{part}/model.safetensors")
    s3.client().create_multipart_upload(Bucket=bucket, Key="below/here/of/somebody/else")
    assert abort_abandoned(database, uploads) == 3
    kept = {f"below/here/jobs/{running}/{part}/model.safetensors" for part in ("2", "blocks")} | {"below/here/of/somebody/else"}
    assert set(s3.open_uploads(bucket)) == kept


def test_a_job_resumes_elsewhere_with_the_blocks_in_the_bucket(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, tmp_path: Path
) -> None:
    save_model(s3_settings.model_root / "slow", layers=24, width=64)
    calibration = {"dataset": "c4-sample:test", "num_samples": 64, "sequence_length": 128}
    job = insert_job(database, model={"source": "local", "id": "slow"}, calibration=calibration)
    stop = threading.Event()
    blocks = f"below/here/jobs/{job}/blocks/"
    with attempt_thread(s3_settings, stop):
        eventually(lambda: len(s3.keys(bucket, blocks)) >= 3)
        stop.set()
    assert job_row(database, job).state == JobState.QUEUED
    before = len(events_of(database, job))
    other = s3_settings.model_copy(update={"cache_dir": tmp_path / "another-host"})
    eventually(lambda: work(other, threading.Event()))
    assert job_row(database, job).state == JobState.SUCCEEDED
    resumed = [event.data["resumed"] for event in events_of(database, job)[before:] if event.type == "block_pruned"]
    assert resumed.count(True) >= 3
    sweeping = s3_settings.model_copy(update={"sweep_seconds": 0.5, "lease_seconds": 1.0})
    with dispatcher_threads(sweeping):  # removes what the worker could not, for example because the store answered too late
        eventually(lambda: s3.keys(bucket, blocks) == [])
    assert s3.open_uploads(bucket) == []
