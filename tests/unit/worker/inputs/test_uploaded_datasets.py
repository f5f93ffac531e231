"""Uploaded text in the worker's cache: whole, checked, bounded."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from obstore.store import LocalStore

from service.contract.datasets import upload_id, upload_prefix
from service.contract.failures import FailureCode
from worker.failures import JobFailure
from worker.inputs import uploaded_datasets as uploads
from worker.inputs.datasets import Texts, shared_text
from worker.inputs.uploaded_datasets import Uploads

DOCUMENTS = [f"document {number}\n" for number in range(20)]


def content_of(documents: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in documents)


def put(folder: Path, documents: list[str], *, tenant: str = "acme", damage: bytes = b"") -> str:
    """A data set in the store, in the form that the service writes; its id."""
    content = content_of(documents)
    sha256 = hashlib.sha256(content).hexdigest()
    place = folder / "store" / upload_prefix(tenant, upload_id(sha256))
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{sha256}-{len(list(place.iterdir()))}.jsonl").write_bytes(content + damage)
    return upload_id(sha256)


def reading(folder: Path, tenant: str = "acme") -> Uploads:
    (folder / "store").mkdir(exist_ok=True)
    return Uploads(LocalStore(folder / "store"), tenant, folder / "cache")


def cached(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache").rglob("*") if path.is_file()]


def test_a_text_is_downloaded_once(tmp_path: Path) -> None:
    dataset_id = put(tmp_path, DOCUMENTS)
    assert reading(tmp_path).documents(dataset_id) == DOCUMENTS
    for file in (tmp_path / "store").rglob("*.jsonl"):
        file.unlink()
    assert reading(tmp_path).documents(dataset_id) == DOCUMENTS
    assert len(cached(tmp_path)) == 1


def test_a_damaged_cache_entry_is_downloaded_again(tmp_path: Path) -> None:
    dataset_id = put(tmp_path, DOCUMENTS)
    reading(tmp_path).documents(dataset_id)
    (file,) = cached(tmp_path)
    file.write_bytes(file.read_bytes()[:-5])
    assert reading(tmp_path).documents(dataset_id) == DOCUMENTS


@pytest.mark.parametrize("damage", [b"\n", b'{"text": "more"}\n'])
def test_a_text_damaged_in_the_store_must_be_uploaded_again(tmp_path: Path, damage: bytes) -> None:
    dataset_id = put(tmp_path, DOCUMENTS, damage=damage)
    with pytest.raises(JobFailure, match="upload the same text again") as caught:
        reading(tmp_path).documents(dataset_id)
    assert caught.value.code is FailureCode.DATASET_UNAVAILABLE
    put(tmp_path, DOCUMENTS)
    assert reading(tmp_path).documents(dataset_id) == DOCUMENTS


def test_deleted_and_foreign_uploads_are_not_found(tmp_path: Path) -> None:
    dataset_id = put(tmp_path, DOCUMENTS)
    reading(tmp_path).documents(dataset_id)
    for tenant in ("other", "../acme"):
        with pytest.raises(JobFailure, match="no longer in the store"):
            reading(tmp_path, tenant).documents(dataset_id)


def test_the_cache_evicts_the_least_recently_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [put(tmp_path, [f"{number}" * 100]) for number in range(4)]
    monkeypatch.setattr(uploads, "_MOST_BYTES", 3 * len(content_of(["0" * 100])))
    for age, dataset_id in zip((30, 20, 10), sets, strict=False):
        reading(tmp_path).documents(dataset_id)
        newest = max(cached(tmp_path), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (time.time() - age, time.time() - age))
    reading(tmp_path).documents(sets[0])
    reading(tmp_path).documents(sets[3])
    assert {path.parent.name for path in cached(tmp_path)} == {sets[0], sets[2], sets[3]}


def test_upload_splits_are_nine_tenths_the_rest_and_all(tmp_path: Path) -> None:
    dataset_id = put(tmp_path, [*DOCUMENTS, DOCUMENTS[0]])
    texts = Texts(tmp_path / "hub", reading(tmp_path))
    train, test, whole = (texts.read(f"{dataset_id}:{split}") for split in ("train", "test", "all"))
    assert train + test == whole == DOCUMENTS
    assert sum(map(len, train)) <= 0.9 * sum(map(len, whole)) < sum(map(len, train)) + len(test[0])


def test_documents_shared_by_two_data_sets_are_counted() -> None:
    told = shared_text("ds-1:train", ["a", "b", "", "c"], "ds-2:test", ["b", "c", "c", " ", "", "d"])
    assert told is not None
    assert told.startswith("2 of the 3 documents of ds-2:test are also in ds-1:train")
    assert shared_text("ds-1:train", ["a"], "ds-2:test", ["b"]) is None
    assert shared_text("wikitext2:train", ["= A ="], "wikitext2:test", ["= A ="]) is None
