"""The files of uploaded data sets: what is swept and what is not, in a folder and in a bucket, and a job that reads them."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from obstore.store import from_url
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from service.contract.datasets import upload_prefix
from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.datasets import UploadedDataset
from service.database.tables.installation import Installation, OrphanedFile
from service.dispatcher.garbage_collection import GarbageCollector
from service.dispatcher.metrics import REGISTRY
from service.ops import installation
from service.ops.doctor.findings import Verdict
from service.ops.doctor.operations import examine
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from tests.support.api_server import client, key_for, serving
from tests.support.dataset_uploads import TEXT, rows, upload
from tests.support.swift import S3
from tests.support.tiny_model import save_model
from worker.attempt.runner import work
from worker.failures import JobFailure
from worker.inputs.uploaded_datasets import Uploads

HOURS = 2 * 3600


def put_in(api: httpx.Client, documents: list[str]) -> str:
    made: str = upload(api, "\n\n".join(documents))["id"]
    return made


def store_of(settings: Settings) -> Path:
    return Path(settings.artifact_url.removeprefix("file://"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != installation.PATH)


def sweep(settings: Settings, **changes: Any) -> None:
    """With a look at uploads, which otherwise comes more rarely."""
    GarbageCollector(settings.model_copy(update={"upload_sweep_seconds": 0.0, **changes})).sweep()


def empty(database: Database) -> None:
    """Make the database a newly migrated one: no rows, and an id of its own."""
    with database.begin() as session:
        session.execute(delete(UploadedDataset))
        session.execute(update(Installation).values(id=uuid4()))


def make_quarantine_older(database: Database, seconds: float) -> None:
    with database.begin() as session:
        session.execute(update(OrphanedFile).values(first_seen_at=OrphanedFile.first_seen_at - timedelta(seconds=seconds)))


def put(path: Path, *, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"text")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_the_next_sweep_deletes_file_and_row_of_a_data_set(api: httpx.Client, settings: Settings, database: Database) -> None:
    gone, kept = put_in(api, ["one"]), put_in(api, ["two"])
    api.delete(f"/v1/datasets/{gone}")
    sweep(settings)
    (file,) = files(store_of(settings))
    assert file.parent.name == kept
    assert len(rows(database)) == 1


def test_a_text_uploaded_again_before_the_sweep_is_kept(api: httpx.Client, settings: Settings, database: Database) -> None:
    first = put_in(api, ["one"])
    api.delete(f"/v1/datasets/{first}")
    assert put_in(api, ["one"]) == first
    sweep(settings)
    assert len(files(store_of(settings))) == len(rows(database)) == 1
    assert Uploads(from_url(settings.artifact_url), "acme", settings.cache_dir).documents(first) == ["one"]


def test_unreferenced_files_are_deleted_after_the_upload_timeout_and_the_grace_period(
    api: httpx.Client, settings: Settings, database: Database
) -> None:
    kept = put_in(api, ["one"])
    (named,) = files(store_of(settings))
    os.utime(named, (time.time() - HOURS, time.time() - HOURS))
    place = store_of(settings) / upload_prefix("acme", kept)
    orphan, part = put(place / "f00-1.jsonl", age=HOURS), put(place / "f00-2.jsonl#1", age=HOURS)
    young = [put(place / "f00-3.jsonl", age=60), put(place / "f00-4.jsonl#1", age=60)]
    sweep(settings)
    assert files(store_of(settings)) == sorted([named, orphan, *young])
    assert not part.exists()
    make_quarantine_older(database, settings.keep_orphans_seconds)
    sweep(settings)
    assert files(store_of(settings)) == sorted([named, *young])


def test_an_empty_database_deletes_nothing_of_the_store(api: httpx.Client, settings: Settings, database: Database) -> None:
    made = put_in(api, ["one"])
    put(store_of(settings) / upload_prefix("acme", made) / "f00-1.jsonl#1", age=HOURS)
    sweep(settings)
    (named,) = files(store_of(settings))
    put(named, age=HOURS)
    part = put(named.parent / "f00-2.jsonl#1", age=HOURS)
    empty(database)
    with capture_logs() as lines:
        collector = GarbageCollector(settings.model_copy(update={"upload_sweep_seconds": 0.0, "keep_orphans_seconds": 0.0}))
        collector.sweep()
        collector.sweep()
    assert files(store_of(settings)) == sorted([named, part])
    assert [line["remedy"] for line in lines if line["event"] == "nothing_deleted_from_store"] == [installation.REMEDY]
    assert REGISTRY.get_sample_value("dsnot_store_mismatch") == 1
    finding = next(each for each in examine(settings) if each.check == "installation")
    assert (finding.verdict, finding.remedy) == (Verdict.FAIL, installation.REMEDY)


def test_a_database_adopts_a_store_whose_id_was_deleted(settings: Settings, database: Database) -> None:
    sweep(settings)
    empty(database)
    sweep(settings)
    (store_of(settings) / installation.PATH).unlink()
    sweep(settings)
    assert installation.mismatch(database, ArtifactStore(settings.artifact_url)) is None
    assert REGISTRY.get_sample_value("dsnot_store_mismatch") == 0


def test_an_older_database_quarantines_newer_files_and_releases_them_when_restored(
    api: httpx.Client, settings: Settings, database: Database
) -> None:
    put_in(api, ["one"])
    (named,) = files(store_of(settings))
    os.utime(named, (time.time() - HOURS, time.time() - HOURS))
    (row,) = rows(database)
    with database.begin() as session:
        session.execute(delete(UploadedDataset))
    sweep(settings)
    make_quarantine_older(database, settings.keep_orphans_seconds - 60)
    with database.begin() as session:
        session.merge(row)
    sweep(settings)
    make_quarantine_older(database, settings.keep_orphans_seconds)
    sweep(settings)
    assert files(store_of(settings)) == [named]
    with database.begin() as session:
        assert session.scalars(select(OrphanedFile)).all() == []


@contextmanager
def bucket_api(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def test_an_upload_to_a_bucket_is_multipart_and_reads_back(
    s3: S3, bucket: str, s3_settings: Settings, database: Database
) -> None:
    documents = [f"document {number} " + "ä" * 1000 for number in range(6000)]
    with bucket_api(s3_settings, database) as api:
        made = put_in(api, documents)
        uploads = Uploads(from_url(s3_settings.artifact_url), "acme", s3_settings.cache_dir)
        assert uploads.documents(made) == documents
        (key,) = s3.keys(bucket, "below/here/datasets/")
        assert s3.client().head_object(Bucket=bucket, Key=key)["ContentLength"] > 12_000_000
        stray = key.replace(".jsonl", "0.jsonl")
        s3.client().put_object(Bucket=bucket, Key=stray, Body=b"young")
        api.delete(f"/v1/datasets/{made}")
        sweep(s3_settings)
    assert s3.keys(bucket) == [stray, f"below/here/{installation.PATH}"]
    assert s3.open_uploads(bucket) == []


@pytest.fixture
def away(s3: S3, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return s3_settings


def test_a_bucket_outage_is_reported_to_the_client_and_the_job(away: Settings, database: Database) -> None:
    with bucket_api(away, database) as api:
        answer = api.post("/v1/datasets", content=b"text", headers=TEXT)
    assert answer.status_code == 503
    assert rows(database) == []
    store = from_url(away.artifact_url, retry_config={"max_retries": 0})
    with pytest.raises(JobFailure, match="could not be read from the artifact store") as caught:
        Uploads(store, "acme", away.cache_dir).documents("ds-0123456789abcdef")
    assert caught.value.code == "dataset-unavailable"


WORDS = ("the", "of", "and", "to", "in", "a", "is", "that", "for", "on")


def sentences(count: int, *, first: int = 0) -> list[str]:
    """Documents of words that the tiny model knows, no two the same."""
    return [" ".join(WORDS[int(digit)] for digit in f"{number:04}") + " is" * 20 for number in range(first, first + count)]


def run(api: httpx.Client, settings: Settings, calibration: str, *evaluation: str) -> dict[str, Any]:
    body = {
        "model": {"source": "local", "id": "tiny"},
        "recipe": {"refinement": {"method": "none"}},
        "calibration": {"dataset": calibration, "num_samples": 4, "sequence_length": 32},
        "evaluation": {"perplexity": list(evaluation), "sequence_length": 32},
    }
    created = api.post("/v1/jobs", json=body)
    assert created.status_code == 201, created.text
    assert work(settings, threading.Event())
    ended: dict[str, Any] = api.get(f"/v1/jobs/{created.json()['id']}").json()
    return ended


def test_a_job_calibrates_and_evaluates_on_different_splits(api: httpx.Client, settings: Settings, database: Database) -> None:
    save_model(settings.model_root / "tiny")
    made, other = put_in(api, sentences(100)), put_in(api, sentences(5, first=10) + sentences(5, first=200))
    job = run(api, settings, made, made, f"{other}:all")
    assert job["state"] == "succeeded", job["error"]
    (test, whole) = job["metrics"]["pruned"]["perplexity"]
    assert (test["dataset"], whole["dataset"]) == (f"{made}:test", f"{other}:all")
    assert test["tokens"] > 0
    told = [warning for warning in job["metrics"]["warnings"] if "calibration data set" in warning]
    assert len(told) == 1
    assert told[0].startswith(f"5 of the 10 documents of {other}:all are also in {made}:train")
    assert api.get(f"/v1/datasets/{made}").json()["used_by_jobs"] == 0


def test_too_short_and_deleted_texts_fail_with_a_remedy(api: httpx.Client, settings: Settings, database: Database) -> None:
    save_model(settings.model_root / "tiny")
    short, long = put_in(api, ["one document"]), put_in(api, sentences(100))
    assert run(api, settings, short)["error"]["code"] == "not-enough-calibration-data"
    job = run(api, settings, long, short)
    assert job["error"]["code"] == "invalid-request"
    assert "larger data set" in job["error"]["detail"]
    for file in files(store_of(settings)) + files(settings.cache_dir / "uploads"):
        file.unlink()
    attempts = api.get(f"/v1/jobs/{run(api, settings, long)['id']}/attempts").json()["items"]
    assert "dataset-unavailable" in attempts[-1]["detail"]
    assert "upload the same text again" in attempts[-1]["detail"]
