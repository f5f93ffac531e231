"""Artifacts in an S3 server: what addresses the service hands out, what they are good for, and what the client makes of them."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit
from uuid import UUID

import httpx
import pytest

from service.client import Client, DownloadRefused
from service.contract.artifacts import Manifest, artifact_prefix
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.ops.doctor.operations import examine
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from tests.support.api_server import client, insert_job, key_for, serving
from tests.support.command_line import dsnot
from tests.support.http_fault_proxy import Fault, FaultProxy, Request, in_front_of
from tests.support.swift import S3
from tests.support.threads import worker_thread
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually
from worker.publishing.artifact import open_store, publish

SHORT_SECONDS = 5
"""Validity of the addresses in tests where one expires."""
CALIBRATION = {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 16}
WEIGHTS = random.Random(1).randbytes(9_000_000)
FILES = {"config.json": b"{}", "empty": b"", "model.safetensors": WEIGHTS, "onnx/very deep/ä#?.bin": b"deep"}


@pytest.fixture
def job(s3_settings: Settings, database: Database, tmp_path: Path) -> UUID:
    """One that has succeeded, with its artifact in the bucket."""
    for path, content in FILES.items():
        (tmp_path / "pruned" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pruned" / path).write_bytes(content)
    job_id = insert_job(database, state=JobState.SUCCEEDED)
    store = open_store(s3_settings)
    publish(tmp_path / "pruned", store, job_id=str(job_id), fence=1, progress=lambda *_: None, tick=lambda: None)
    with database.engine.begin() as connection:
        values = (artifact_prefix(job_id, 1), job_id)
        connection.exec_driver_sql("UPDATE jobs SET artifact_prefix = %s WHERE id = %s", values)
    return job_id


@pytest.fixture
def key(database: Database) -> str:
    return key_for(database, Scope.ADMIN)


@pytest.fixture
def public(s3: S3, s3_settings: Settings) -> Iterator[FaultProxy]:
    """Another address of the server, for callers."""
    with in_front_of(s3.endpoint) as proxy:
        yield proxy


def location(settings: Settings, key: str, job: UUID, path: str = "model.safetensors", method: str = "GET") -> str:
    """Where the service sends a caller."""
    with serving(settings) as url, client(url, key) as api:
        response = api.request(method, f"/v1/jobs/{job}/artifacts/{quote(path)}")
    assert response.status_code == 307, response.text
    return response.headers["location"]


def test_every_file_has_an_address_that_needs_no_key(s3: S3, s3_settings: Settings, key: str, job: UUID) -> None:
    with serving(s3_settings) as url, client(url, key) as api:
        manifest = Manifest.model_validate(api.get(f"/v1/jobs/{job}/artifacts").json())
    assert {file.path for file in manifest.files} == set(FILES)
    for path, content in FILES.items():
        address = location(s3_settings, key, job, path)
        assert address.startswith(f"{s3.endpoint}/")
        assert parse_qs(urlsplit(address).query)["X-Amz-Expires"] == [str(s3_settings.presign_seconds)]
        assert httpx.get(address).content == content


def test_a_signed_address_is_for_one_file_and_method_and_expires(s3_settings: Settings, key: str, job: UUID) -> None:
    address = location(s3_settings, key, job)
    brief = location(s3_settings.model_copy(update={"presign_seconds": 1}), key, job)
    assert httpx.get(address, headers={"Range": "bytes=3-5"}).content == WEIGHTS[3:6]
    assert httpx.delete(address).status_code == 403
    assert httpx.put(address, content=b"x").status_code == 403
    assert httpx.get(address.replace("model.safetensors", "config.json")).status_code == 403
    assert httpx.get(brief.replace("X-Amz-Expires=1", "X-Amz-Expires=1000")).status_code == 403
    assert httpx.get(address[:-1] + ("0" if address[-1] != "0" else "1")).status_code == 403
    assert httpx.get(urlunsplit(urlsplit(address)._replace(query=""))).is_client_error
    eventually(lambda: httpx.get(brief).status_code == 403)
    assert "expired" in httpx.get(brief).text
    assert httpx.head(location(s3_settings, key, job, method="HEAD")).headers["content-length"] == str(len(WEIGHTS))


def test_wrong_credentials_are_reported_without_secrets(
    s3_settings: Settings, key: str, job: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    address = ArtifactStore(s3_settings.artifact_url).sign("GET", f"{artifact_prefix(job, 1)}/config.json", 60)
    assert httpx.get(address).status_code == 403
    with serving(s3_settings) as url, client(url, key) as api:
        response = api.get(f"/v1/jobs/{job}/artifacts")
        ready = api.get("/readyz")
    assert response.status_code == ready.status_code == 503
    assert response.headers["retry-after"]
    assert "not-the-secret" not in response.text + ready.text
    assert "127.0.0.1" not in response.text
    assert "the store refuses the credentials" in response.json()["detail"]
    assert "the store refuses the credentials" in ready.json()["artifact_store"]["detail"]
    (found,) = [each for each in examine(s3_settings) if each.check == "artifact store"]
    assert found.found == "the store refuses the credentials; check its variables"


def test_clients_use_the_public_endpoint_and_the_service_its_own(
    s3_settings: Settings, key: str, job: UUID, public: FaultProxy
) -> None:
    address = location(s3_settings.model_copy(update={"artifact_public_endpoint": public.address}), key, job)
    assert address.startswith(f"{public.address}/")
    assert public.seen == []
    assert httpx.get(address).content == WEIGHTS
    assert [request.method for request in public.seen] == ["GET"]


@pytest.fixture
def reading(s3_settings: Settings, key: str, public: FaultProxy) -> Iterator[Client]:
    """The client of a service that sends it through the proxy, to addresses that expire after `SHORT_SECONDS`."""
    settings = s3_settings.model_copy(update={"artifact_public_endpoint": public.address, "presign_seconds": SHORT_SECONDS})
    with serving(settings) as url, Client(url, key, patience=CEILING_SECONDS) as opened:
        yield opened


def assert_downloaded(folder: Path) -> None:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES


def test_the_client_sends_its_key_to_the_service_only(reading: Client, job: UUID, public: FaultProxy, tmp_path: Path) -> None:
    reading.jobs.download(str(job), tmp_path / "got")
    assert_downloaded(tmp_path / "got")
    assert len(public.seen) == len(FILES) - 1  # an empty file needs no request
    assert not any(name.lower() == "authorization" for request in public.seen for name in request.headers)


def test_a_download_resumes_with_a_fresh_signed_address(reading: Client, job: UUID, public: FaultProxy, tmp_path: Path) -> None:
    asked: list[tuple[str | None, str]] = []

    def plan(request: Request) -> Fault | None:
        if "model.safetensors" not in request.path:
            return None
        asked.append((request.headers.get("Range"), request.path))
        if len(asked) == 2:
            time.sleep(SHORT_SECONDS + 1)  # the address expires on the way; the server itself refuses it
        return [Fault.TRUNCATE, None, Fault.ERROR, Fault.CUT_ANSWER][len(asked) - 1] if len(asked) <= 4 else None

    public.plan = plan
    reading.jobs.download(str(job), tmp_path / "got")
    assert_downloaded(tmp_path / "got")
    ranges, addresses = [wanted for wanted, _ in asked], {address for _, address in asked}
    assert len(asked) >= 5
    assert ranges[0] is None
    assert all(wanted and wanted != "bytes=0-" for wanted in ranges[1:])
    assert len(addresses) > 1


def test_corrupt_bytes_are_refused_and_fetched_again(reading: Client, s3: S3, bucket: str, job: UUID, tmp_path: Path) -> None:
    place = f"below/here/{artifact_prefix(job, 1)}/model.safetensors"
    s3.client().put_object(Bucket=bucket, Key=place, Body=WEIGHTS[::-1])
    with pytest.raises(DownloadRefused, match="does not match the manifest"):
        reading.jobs.download(str(job), tmp_path / "got")
    assert not (tmp_path / "got" / "model.safetensors").exists()
    s3.client().put_object(Bucket=bucket, Key=place, Body=WEIGHTS)
    (tmp_path / "got" / "model.safetensors.dsnot-part").write_bytes(WEIGHTS[::-1][:1000])
    reading.jobs.download(str(job), tmp_path / "got")
    assert_downloaded(tmp_path / "got")


def test_the_command_downloads_from_the_bucket(s3_settings: Settings, key: str, job: UUID, tmp_path: Path) -> None:
    with serving(s3_settings) as url:
        arguments = ("artifacts", "download", str(job), "--to", str(tmp_path / "got"))
        done = dsnot(tmp_path / "home", *arguments, DSNOT_URL=url, DSNOT_API_KEY=key)
    assert done.returncode == 0, done.stderr
    assert "4 files" in done.stderr
    (tmp_path / "got" / "manifest.json").unlink()  # the command keeps it, for `dsnot artifacts verify`
    assert_downloaded(tmp_path / "got")


@contextmanager
def everything(settings: Settings, key: str, folder: Path) -> Iterator[Client]:
    """Service, dispatcher and worker, and a client of them."""
    with worker_thread(settings), serving(settings) as url, Client(url, key) as opened:
        yield opened


def test_a_job_runs_completely_on_a_bucket(
    s3: S3, bucket: str, s3_settings: Settings, key: str, public: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_model(s3_settings.model_root / "wide", layers=1, width=768)
    public.plan = lambda request: Fault.SLOW if "partNumber" in request.path or "Range" in request.headers else None
    told: list[tuple[int, int, str]] = []
    recipe = {"criterion": "magnitude", "refinement": {"method": "none"}}  # the quickest
    body = {"model": {"source": "local", "id": "wide"}, "recipe": recipe, "calibration": CALIBRATION}
    body |= {"evaluation": {"perplexity": []}}
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", public.address)
        with everything(s3_settings, key, tmp_path) as reading:
            job = reading.jobs.create(body)
            while not (job := reading.jobs.get(str(job.id))).has_ended:
                if job.stage == "publishing" and job.progress:
                    told.append((job.progress.done, job.progress.total, job.progress.unit))
                time.sleep(0.05)
            manifest = reading.jobs.download(str(job.id), tmp_path / "got")
    assert job.state == "succeeded", job.error
    assert sorted(told) == told
    assert len(set(told)) > 1
    assert {(total, unit) for _, total, unit in told} == {(sum(file.bytes for file in manifest.files), "bytes")}
    keys = set(s3.keys(bucket))
    (prefix,) = {key.rpartition("/")[0] for key in keys if key.endswith("/manifest.json")}
    assert prefix.startswith(f"below/here/jobs/{job.id}/")
    assert keys == {f"{prefix}/{name}" for name in [file.path for file in manifest.files] + ["manifest.json"]}
    assert s3.open_uploads(bucket) == []
