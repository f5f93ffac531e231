"""The manifest and the files it lists, from a local store and from one that signs."""

import hashlib
import os
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from service.contract.artifacts import Manifest, ManifestFile, artifact_prefix
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import client, insert_job, key_for, serving
from tests.support.artifacts import CONTENT, FILES, publish


def test_every_file_of_the_manifest_is_served_unchanged(api: httpx.Client, settings: Settings, database: Database) -> None:
    job_id = publish(settings, database)
    manifest = api.get(f"/v1/jobs/{job_id}/artifacts").json()
    assert manifest["job_id"] == str(job_id)
    assert {file["path"] for file in manifest["files"]} == set(FILES)
    for file in manifest["files"]:
        response = api.get(f"/v1/jobs/{job_id}/artifacts/{quote(file['path'])}")
        assert response.content == FILES[file["path"]]
        assert hashlib.sha256(response.content).hexdigest() == file["sha256"] == response.headers["etag"].strip('"')
        assert len(response.content) == file["bytes"] == int(response.headers["content-length"])
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=10000-", CONTENT[10000:]),
        ("bytes=-5", CONTENT[-5:]),
        ("bytes=10230-99999", CONTENT[10230:]),
        ("bytes=-99999", CONTENT),
    ],
)
def test_a_byte_range_of_a_file_is_served(
    api: httpx.Client, settings: Settings, database: Database, wanted: str, expected: bytes
) -> None:
    path = f"/v1/jobs/{publish(settings, database)}/artifacts/model.safetensors"
    response = api.get(path, headers={"Range": wanted})
    assert (response.status_code, response.content) == (206, expected)
    first = len(CONTENT) - len(expected) if wanted != "bytes=0-9" else 0
    assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"


def test_unsatisfiable_and_malformed_ranges(api: httpx.Client, settings: Settings, database: Database) -> None:
    job_id = publish(settings, database)
    path = f"/v1/jobs/{job_id}/artifacts/model.safetensors"
    for beyond in (f"bytes={len(CONTENT)}-", "bytes=0-1,99999-", "bytes=-0"):
        response = api.get(path, headers={"Range": beyond})
        assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
        assert response.json()["code"] == "range-not-satisfiable"
    for nonsense in ("bytes=9-1", "bytes=a-b", "lines=1-2", "bytes", "bytes=", "bytes=--1", f"bytes=0-{'9' * 5000}"):
        response = api.get(path, headers={"Range": nonsense})
        assert (response.status_code, response.content) == (200, CONTENT), nonsense
    assert api.get(f"/v1/jobs/{job_id}/artifacts/empty", headers={"Range": "bytes=0-0"}).status_code == 416


def test_a_download_of_a_changed_file_is_not_resumed(api: httpx.Client, settings: Settings, database: Database) -> None:
    path = f"/v1/jobs/{publish(settings, database)}/artifacts/model.safetensors"
    tag = api.head(path).headers["etag"]
    assert api.get(path, headers={"Range": "bytes=5-", "If-Range": tag}).status_code == 206
    assert api.get(path, headers={"Range": "bytes=5-", "If-Range": '"other"'}).content == CONTENT
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_file_changed_in_the_store_has_another_etag(api: httpx.Client, settings: Settings, database: Database) -> None:
    job_id = publish(settings, database)
    path = f"/v1/jobs/{job_id}/artifacts/model.safetensors"
    tag = api.head(path).headers["etag"]
    folder = Path(settings.artifact_url.removeprefix("file://")) / artifact_prefix(job_id, 1)
    changed = folder / "model.safetensors"
    changed.write_bytes(CONTENT[::-1])
    os.utime(changed, (time.time() + 1, time.time() + 1))
    answer = api.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (200, CONTENT[::-1])
    assert api.get(path, headers={"Range": "bytes=5-", "If-Range": tag}).status_code == 200


def test_head_describes_a_file_without_its_bytes(api: httpx.Client, settings: Settings, database: Database) -> None:
    path = f"/v1/jobs/{publish(settings, database)}/artifacts/model.safetensors"
    whole, head = api.get(path), api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "accept-ranges", "content-type"):
        assert head.headers[name] == whole.headers[name]
    assert api.head(path + "x").status_code == 404


def test_an_artifact_with_a_damaged_manifest_is_reported(api: httpx.Client, settings: Settings, database: Database) -> None:
    job_id = publish(settings, database)
    (found,) = Path(settings.artifact_url.removeprefix("file://")).rglob("manifest.json")
    for content in (b"{", b"[]", b"\xff"):
        found.write_bytes(content)
        answers = [
            api.get(f"/v1/jobs/{job_id}/artifacts"),
            api.post("/v1/jobs", json={"model": {"source": "job", "id": str(job_id)}}),
        ]
        assert [answer.status_code for answer in answers] == [404, 422]
        assert all("manifest is damaged" in answer.json()["detail"] for answer in answers)


def test_only_files_of_the_manifest_are_served(api: httpx.Client, settings: Settings, database: Database, tmp_path: Path) -> None:
    job_id = publish(settings, database)
    other = publish(settings, database)
    (tmp_path / "secret").write_text("secret")
    up = "%2e%2e/" * 4
    for path in (
        "unlisted",
        "manifest.json",
        "config.json/",
        "%2e/config.json",
        f"%2e%2e/../{other}/1/config.json",
        f"{up}secret",
        "a%00b",
    ):
        assert api.get(f"/v1/jobs/{job_id}/artifacts/{path}").status_code == 404, path


def test_paths_outside_the_store_in_a_manifest_are_not_served(
    api: httpx.Client, settings: Settings, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    job_id = publish(settings, database)
    prefix = artifact_prefix(job_id, 1)
    folder = Path(settings.artifact_url.removeprefix("file://")) / prefix
    (folder / "link").symlink_to(tmp_path / "secret")
    paths = ("../../../../secret", "link")
    listed = [ManifestFile(path=path, bytes=6, sha256="0" * 64) for path in paths]
    (folder / "manifest.json").write_text(Manifest(job_id=str(job_id), fence=1, files=listed).model_dump_json())
    for path in paths:
        assert api.get(f"/v1/jobs/{job_id}/artifacts/{path.replace('..', '%2e%2e')}").status_code == 404


def test_a_job_without_an_artifact_has_none(api: httpx.Client, database: Database) -> None:
    unfinished = insert_job(database, state=JobState.RUNNING)
    gone = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/gone/1")
    for job_id in (unfinished, gone):
        for path in ("", "/config.json"):
            response = api.get(f"/v1/jobs/{job_id}/artifacts{path}")
            assert (response.status_code, response.json()["code"]) == (404, "not-found")


def test_reading_jobs_is_not_enough_to_read_artifacts(api: httpx.Client, settings: Settings, database: Database) -> None:
    job_id = publish(settings, database)
    headers = {"Authorization": f"Bearer {key_for(database, Scope.JOBS_READ)}"}
    assert [api.get(f"/v1/jobs/{job_id}/artifacts{p}", headers=headers).status_code for p in ("", "/config.json")] == [403, 403]


def test_a_signing_store_gets_a_redirect_that_expires(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing needs no network, the manifest does; it is given here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    job_id = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/a/1")
    listed = Manifest(job_id=str(job_id), fence=1, files=[ManifestFile(path="a b.bin", bytes=1, sha256="0" * 64)])
    monkeypatch.setattr("service.storage.artifact_store.ArtifactStore.read", lambda *_: listed.model_dump_json().encode())
    remote = settings.model_copy(update={"artifact_url": "s3://bucket/some/prefix", "presign_seconds": 77})
    with serving(remote) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        answers = [api.request(method, f"/v1/jobs/{job_id}/artifacts/a%20b.bin") for method in ("GET", "HEAD")]
        assert [answer.status_code for answer in answers] == [307, 307]
        target = urlsplit(answers[0].headers["location"])
        assert target.path.endswith("/bucket/some/prefix/jobs/a/1/a%20b.bin")
        assert parse_qs(target.query)["X-Amz-Expires"] == ["77"]
        assert answers[0].headers["location"] != answers[1].headers["location"], "a signature is for one method"
        assert "the-secret" not in answers[0].headers["location"]
        assert api.get(f"/v1/jobs/{job_id}/artifacts/other").status_code == 404


def test_a_store_that_does_not_answer_is_a_transient_error(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    job_id = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/a/1")
    remote = settings.model_copy(update={"artifact_url": "s3://bucket"})
    with serving(remote) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        response = api.get(f"/v1/jobs/{job_id}/artifacts")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert "127.0.0.1" not in response.text
        assert int(response.headers["retry-after"]) > 0
