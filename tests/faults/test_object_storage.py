"""Attempts that publish into an S3 server behind a proxy that gets in the way: right bytes, or a typed failure."""

import hashlib
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from service.contract import JobState, Manifest, Stage
from service.database import Database
from service.dispatcher.uploads import abort_abandoned
from service.settings import Settings
from service.storage.open_uploads import OpenUploads
from service.storage.opening import open_at
from tests.faults.fault_proxy import Fault, FaultProxy, Plan, Request, in_front_of
from tests.integration.job_rows import attempts_of, eventually, insert_job, job_row
from tests.integration.swift import S3
from tests.integration.tiny_model import save_model
from worker.runner import work


@pytest.fixture
def proxy(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with in_front_of(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        yield proxy


@pytest.fixture
def job(s3_settings: Settings, database: Database) -> UUID:
    """Its artifact has one file of several parts."""
    save_model(s3_settings.model_root / "wide", layers=1, width=768)
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
    assert max(file.bytes for file in manifest.files) > 16 << 20
    for file in manifest.files:
        content = client.get_object(Bucket=bucket, Key=f"{prefix}/{file.path}")["Body"].read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    assert sorted(s3.keys(bucket)) == sorted([f"{prefix}/{file.path}" for file in manifest.files] + [f"{prefix}/manifest.json"])


PASSING = [(Fault.ERROR, 3), (Fault.BUSY, 3), (Fault.SLOW, 1), (Fault.CUT_REQUEST, 3), (Fault.TRUNCATE, 5), (Fault.HANG, 9)]


@pytest.mark.parametrize(("fault", "every"), PASSING)
def test_what_passes_is_waited_out(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, job: UUID, fault: Fault, every: int
) -> None:
    proxy.plan = while_publishing(database, job, fault, every)
    patient = s3_settings.model_copy(update={"store_retry_seconds": 30.0})
    assert work(patient, threading.Event())
    assert job_row(database, job).state == JobState.SUCCEEDED, job_row(database, job).error
    assert proxy.hit > 0
    assert_right_bytes(s3, bucket, database, job, s3_settings)
    assert s3.open_uploads(bucket) == []


@pytest.mark.parametrize("fault", [Fault.CUT_ANSWER, Fault.SHORTEN])
def test_what_may_or_may_not_have_worked_ends_with_right_bytes_or_a_typed_failure(
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
def test_what_lasts_is_a_typed_failure_and_the_next_attempt_leaves_nothing_of_it(
    s3: S3, bucket: str, s3_settings: Settings, database: Database, proxy: FaultProxy, fault: Fault
) -> None:
    save_model(s3_settings.model_root / "wide", layers=1, width=768)
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
