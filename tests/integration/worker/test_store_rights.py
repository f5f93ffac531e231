"""The bucket policy of workers: enough for whole jobs, and nothing more."""

import hashlib
import json
import threading
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import parse_qs, unquote

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError

from service.cli.migrate import migrate
from service.cli.output import CommandFailed
from service.contract.datasets import upload_id, upload_prefix
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from service.storage.opening import open_at
from service.storage.worker_policy import policy_with_worker
from tests.support.http_fault_proxy import Fault, FaultProxy, Request, in_front_of
from tests.support.job_rows import insert_job, job_row
from tests.support.swift import S3
from tests.support.tiny_model import save_model
from worker.attempt.runner import work


def action_of(request: Request) -> tuple[str, str]:
    """Return the right that S3 wants for a request, and the resource."""
    path, _, query = request.path.partition("?")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    names = parse_qs(query, keep_blank_values=True)
    if not key:
        return "s3:ListBucketMultipartUploads" if "uploads" in names else "s3:ListBucket", f"arn:aws:s3:::{bucket}"
    removal = "s3:AbortMultipartUpload" if "uploadId" in names else "s3:DeleteObject"
    writes = {"PUT": "s3:PutObject", "POST": "s3:PutObject", "DELETE": removal}
    return writes.get(request.method, "s3:GetObject"), f"arn:aws:s3:::{bucket}/{key}"


@pytest.fixture
def guarded(s3: S3, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A server that answers 403 to what the policy does not allow."""
    statements = policy_with_worker(s3_settings.artifact_url, "worker", {})["Statement"]

    def denied(request: Request) -> Fault | None:
        action, resource = action_of(request)
        allowed = [each for each in statements if action in each["Action"] and fnmatchcase(resource, each["Resource"][0])]
        return None if allowed else Fault.DENIED

    with in_front_of(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.plan = denied
        yield proxy


def test_the_policy_suffices_for_jobs(s3: S3, s3_settings: Settings, database: Database, guarded: FaultProxy) -> None:
    """One with an upload and several parts, then one on its artifact."""
    text = b"".join(json.dumps({"text": f"document {number} of a text"}).encode() + b"\n" for number in range(200))
    sha256 = hashlib.sha256(text).hexdigest()
    dataset = upload_id(sha256)
    bucket = s3_settings.artifact_url.split("/")[2]
    s3.client().put_object(Bucket=bucket, Key=f"below/here/{upload_prefix('test', dataset)}/{sha256}-1.jsonl", Body=text)
    save_model(s3_settings.model_root / "wide", layers=1, width=512)
    calibration = {"dataset": dataset, "num_samples": 2, "sequence_length": 16}
    first = insert_job(database, model={"source": "local", "id": "wide"}, calibration=calibration)
    assert work(s3_settings, threading.Event())
    assert job_row(database, first).state == JobState.SUCCEEDED, job_row(database, first).error
    second = insert_job(database, model={"source": "job", "id": str(first), "revision": str(job_row(database, first).fence)})
    assert work(s3_settings, threading.Event())
    assert job_row(database, second).state == JobState.SUCCEEDED, job_row(database, second).error
    seen = {action_of(request)[0] for request in guarded.seen}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:ListBucketMultipartUploads"} <= seen
    assert guarded.hit == 0


def test_the_policy_allows_no_change_besides_jobs(s3_settings: Settings, guarded: FaultProxy) -> None:
    store = open_at(s3_settings.artifact_url)
    for path in ("installation", "datasets/tenant/ds-1/file.jsonl"):
        with pytest.raises(PermissionDeniedError):
            obstore.put(store, path, b"")
        with pytest.raises(PermissionDeniedError):
            obstore.delete(store, path)
    with pytest.raises(PermissionDeniedError):
        obstore.get(store, "installation")
    with pytest.raises(PermissionDeniedError):
        obstore.put(open_at(s3_settings.artifact_url.removesuffix("/here")), "jobs/of/another", b"")
    assert guarded.hit == len(guarded.seen)


def test_a_server_without_bucket_policies_is_refused_by_migrate(
    s3_settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSNOT_DATABASE_URL", s3_settings.database_url.get_secret_value())
    monkeypatch.setenv("DSNOT_ARTIFACT_URL", s3_settings.artifact_url)
    monkeypatch.setenv("DSNOT_WORKER_STORE_PRINCIPAL", "worker")
    with pytest.raises(CommandFailed, match="DSNOT_WORKER_STORE_PRINCIPAL: the store refused to change the bucket's policy"):
        migrate()
