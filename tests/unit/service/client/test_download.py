"""Downloads: what lies on disk afterwards is what the manifest promises, or nothing."""

import hashlib
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.client import Client, DownloadRefused
from service.contract.artifacts import Manifest, ManifestFile
from tests.support.client_kinds import KINDS, Answer, Broken, client_on

_JOB = "11111111-2222-3333-4444-555555555555"
_WEIGHTS = random.Random(1).randbytes(3_000_000)
_FILES = {"config.json": b"{}", "nested/model.safetensors": _WEIGHTS, "empty": b""}

ClientOf = Callable[[Answer], Client]


class Store:
    """Serves a manifest and files, with ranges; remembers what was asked for."""

    def __init__(self, files: dict[str, bytes], promised: dict[str, bytes] | None = None) -> None:
        self.files = files
        self.asked: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None
        """Break the next answer's connection after so many bytes."""
        promised = promised or files
        entries = [ManifestFile(path=path, bytes=len(data), sha256=_sha256(data)) for path, data in promised.items()]
        self.manifest = Manifest(job_id=_JOB, fence=1, files=entries)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(f"/v1/jobs/{_JOB}/artifacts")
        if not path:
            return httpx.Response(200, json=self.manifest.model_dump(mode="json"))
        data = self.files[path.removeprefix("/")]
        wanted = request.headers.get("Range")
        self.asked.append((path.removeprefix("/"), wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        content = data[start:]
        if self.cut_after is not None:
            content, self.cut_after = content[: self.cut_after], None
            return httpx.Response(206 if wanted else 200, stream=Broken(content, httpx.ReadError("the connection broke")))
        return httpx.Response(206 if wanted else 200, content=content)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=KINDS)
def client_of(request: pytest.FixtureRequest) -> ClientOf:
    return partial(client_on, request.param)


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_of_the_manifest_is_downloaded(client_of: ClientOf, tmp_path: Path) -> None:
    sizes: dict[str, int] = {}
    client_of(Store(_FILES)).jobs.download(_JOB, tmp_path / "out", sizes.__setitem__)
    assert on_disk(tmp_path / "out") == _FILES
    assert sizes == {path: len(data) for path, data in _FILES.items()}


def test_verified_files_are_not_downloaded_again(client_of: ClientOf, tmp_path: Path) -> None:
    store = Store(_FILES)
    client = client_of(store)
    client.jobs.download(_JOB, tmp_path)
    store.asked.clear()
    (tmp_path / "config.json").write_bytes(b"[]")
    client.jobs.download(_JOB, tmp_path)
    assert store.asked == [("config.json", None)]
    assert on_disk(tmp_path) == _FILES


def test_a_broken_download_resumes_where_it_broke(client_of: ClientOf, tmp_path: Path) -> None:
    store = Store({"model.safetensors": _WEIGHTS})
    store.cut_after = 2_000_000
    client_of(store).jobs.download(_JOB, tmp_path)
    assert [wanted for _, wanted in store.asked] == [None, "bytes=2000000-"]
    assert on_disk(tmp_path) == {"model.safetensors": _WEIGHTS}


def test_a_partial_file_of_an_earlier_run_is_completed(client_of: ClientOf, tmp_path: Path) -> None:
    store = Store({"model.safetensors": _WEIGHTS})
    (tmp_path / "model.safetensors.dsnot-part").write_bytes(_WEIGHTS[:1234])
    client_of(store).jobs.download(_JOB, tmp_path)
    assert store.asked == [("model.safetensors", "bytes=1234-")]
    assert on_disk(tmp_path) == {"model.safetensors": _WEIGHTS}


@pytest.mark.parametrize("part", [b"x" * 1234, b"x" * len(_WEIGHTS), b"x" * (len(_WEIGHTS) + 1)])
def test_a_partial_file_of_another_artifact_is_discarded(client_of: ClientOf, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "model.safetensors.dsnot-part").write_bytes(part)
    client_of(Store({"model.safetensors": _WEIGHTS})).jobs.download(_JOB, tmp_path)
    assert on_disk(tmp_path) == {"model.safetensors": _WEIGHTS}


@pytest.mark.parametrize("wrong", [bytes([_WEIGHTS[0] ^ 1]) + _WEIGHTS[1:], _WEIGHTS[:-1], _WEIGHTS + b"x", b""])
def test_a_file_with_a_wrong_checksum_is_refused_and_deleted(client_of: ClientOf, tmp_path: Path, wrong: bytes) -> None:
    store = Store({"model.safetensors": wrong}, promised={"model.safetensors": _WEIGHTS})
    with pytest.raises(DownloadRefused, match=r"model\.safetensors does not match the manifest"):
        client_of(store).jobs.download(_JOB, tmp_path)
    assert on_disk(tmp_path) == {}


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "", ".", "a\0b"])
def test_a_path_outside_the_destination_is_refused_at_once(client_of: ClientOf, tmp_path: Path, path: str) -> None:
    destination = tmp_path / "out"
    destination.mkdir()
    with pytest.raises(DownloadRefused, match="outside"):
        client_of(Store({"good": b"1", path: b"2"})).jobs.download(_JOB, destination)
    assert on_disk(tmp_path) == {}


def test_a_link_cannot_leave_the_destination(client_of: ClientOf, tmp_path: Path) -> None:
    destination = tmp_path / "out"
    destination.mkdir()
    (destination / "link").symlink_to(tmp_path)
    with pytest.raises(DownloadRefused, match="outside"):
        client_of(Store({"link/evil": b"2"})).jobs.download(_JOB, destination)
    assert on_disk(tmp_path) == {}


def test_the_key_is_not_sent_to_another_host(client_of: ClientOf, tmp_path: Path) -> None:
    store = Store({"config.json": b"{}"})
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.host == "bucket":
            return httpx.Response(200, content=b"{}")
        if request.url.path.endswith("config.json"):
            return httpx.Response(307, headers={"Location": "https://bucket/signed?signature=1"})
        return store(request)

    client_of(answer).jobs.download(_JOB, tmp_path)
    assert "Authorization" in seen[0].headers
    assert [request.url.host for request in seen] == ["service", "service", "bucket"]
    assert "Authorization" not in seen[2].headers
    assert on_disk(tmp_path) == {"config.json": b"{}"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_gets_no_api_key_even_on_the_same_origin(kind: str, tmp_path: Path) -> None:
    store, seen = Store(_FILES), list[tuple[str, bool]]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path.split("/")[1], "Authorization" in request.headers))
        if request.url.path.endswith("/artifacts"):
            return store(request)
        if "X-Amz-Signature" not in request.url.params:
            return httpx.Response(307, headers={"Location": f"/bucket{request.url.path}?X-Amz-Signature=1"})
        if "again" not in request.url.params:
            return httpx.Response(307, headers={"Location": f"{request.url}&again=1"})
        return httpx.Response(200, content=_FILES["config.json"])

    client_on(kind, answer).jobs.download_file(_JOB, "config.json", tmp_path / "config.json")
    assert seen == [("v1", True), ("v1", True), ("bucket", False), ("bucket", False)]
