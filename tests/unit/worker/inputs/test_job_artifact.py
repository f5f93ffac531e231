"""The artifact of an earlier job, as a worker fetches it to prune it again."""

import hashlib
import json
import threading
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from service.contract.artifacts import Manifest, ManifestFile
from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from tests.support import checkpoints
from worker.failures import JobFailure, ModelError
from worker.inputs.job_artifact import fetch
from worker.inputs.model_cache import folder_of, in_use, reserve, root
from worker.inputs.models import resolve

ID = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"
MODEL = ModelSpec(source="job", id=ID, revision="3")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with the artifact: a checkpoint, and what was written beside it."""
    made = checkpoints.save(tmp_path / "made")
    for name in ("recipe.json", "sparsity_report.json", "SHA256SUMS"):
        (made / name).write_text("{}")
    (made / "README.md").write_text("---\nlicense: mit\nbase_model: org/base\n---\n")
    store = LocalStore(tmp_path / "store", mkdir=True)
    files = []
    for path in sorted(made.iterdir()):
        content = path.read_bytes()
        obstore.put(store, f"jobs/{ID}/3/{path.name}", content)
        files.append(ManifestFile(path=path.name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
    manifest = Manifest(job_id=ID, fence=3, files=files)
    obstore.put(store, f"jobs/{ID}/3/manifest.json", manifest.model_dump_json().encode())
    return store


def test_an_earlier_artifact_is_a_model_like_any_other(store: LocalStore, tmp_path: Path) -> None:
    model = resolve(MODEL, checkpoints.settings(tmp_path), tenant="acme", store=store)
    assert (model.revision, model.license, model.base_model) == ("3", "mit", "org/base")
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    for name in ("recipe.json", "sparsity_report.json", "SHA256SUMS"):
        del made[name]  # of that job, and not of the model
    assert {path.name: path.read_bytes() for path in model.path.iterdir()} == made


def test_workers_of_one_host_download_it_once(store: LocalStore, tmp_path: Path) -> None:
    settings, ticks = checkpoints.settings(tmp_path), [0] * 4

    def work(number: int) -> None:
        def tick() -> None:
            ticks[number] += 1

        fetch(MODEL, store, settings, tick)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(count > 0 for count in ticks) == 1


def test_an_artifact_that_differs_from_its_manifest_is_refused(store: LocalStore, tmp_path: Path) -> None:
    obstore.put(store, f"jobs/{ID}/3/config.json", b"{}")
    with pytest.raises(ModelError, match=r"config\.json") as caught:
        fetch(MODEL, store, checkpoints.settings(tmp_path), lambda: None)
    assert caught.value.code is FailureCode.MODEL_UNSAFE
    assert not list(root(checkpoints.settings(tmp_path).cache_dir).glob("models--*"))


def test_a_deleted_artifact_is_not_found(store: LocalStore, tmp_path: Path) -> None:
    gone = MODEL.model_copy(update={"revision": "4"})
    with pytest.raises(ModelError) as caught:
        fetch(gone, store, checkpoints.settings(tmp_path), lambda: None)
    assert caught.value.code is FailureCode.MODEL_NOT_FOUND


@pytest.mark.parametrize("broken", ["manifest.json", "config.json"])
def test_a_store_that_cannot_be_read_is_retried(store: LocalStore, tmp_path: Path, broken: str) -> None:
    path = tmp_path / "store" / "jobs" / ID / "3" / broken
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(JobFailure, match=f"The artifact of job {ID} could not be read from the store") as caught:
        fetch(MODEL, store, checkpoints.settings(tmp_path), lambda: None)
    assert (caught.value.code, caught.value.code.retryable) == (FailureCode.ARTIFACT_UPLOAD_FAILED, True)


def test_an_artifact_larger_than_the_disk_is_refused_at_once(store: LocalStore, tmp_path: Path) -> None:
    key = f"jobs/{ID}/3/manifest.json"
    manifest = json.loads(bytes(obstore.get(store, key).bytes()))
    manifest["files"][0]["bytes"] = 2**60
    obstore.put(store, key, json.dumps(manifest).encode())
    with pytest.raises(JobFailure) as caught:
        fetch(MODEL, store, checkpoints.settings(tmp_path), lambda: None)
    assert caught.value.code is FailureCode.DISK_FULL


def test_only_an_unused_artifact_is_evicted(store: LocalStore, tmp_path: Path) -> None:
    settings = checkpoints.settings(tmp_path)
    with in_use(settings.cache_dir, MODEL):
        folder = fetch(MODEL, store, settings, lambda: None)
        assert folder.name == folder_of(MODEL)
        reserve(settings.cache_dir, download=1, copy=0, max_bytes=1)
        assert folder.is_dir()
    reserve(settings.cache_dir, download=1, copy=0, max_bytes=1)
    assert not folder.exists()
