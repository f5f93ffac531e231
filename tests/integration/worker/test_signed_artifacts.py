"""Artifacts of a worker that has a key: signed as they are published, and checked by the command."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.contract.artifacts import Manifest
from service.contract.states import JobState
from service.database.engine import Database
from service.packing import unpack
from service.packing.signatures import key_sha256
from service.settings import Settings
from tests.support.job_rows import event_types, insert_job, job_row
from tests.support.signing_keys import key_pair
from tests.support.tiny_model import save_model
from worker.attempt.runner import work

ROOT = Path(__file__).parents[3]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path / "keys", ec.generate_private_key(ec.SECP256R1()))


def publish(settings: Settings, database: Database, *formats: str) -> Path:
    """The folder of the artifact of a job with these formats."""
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database, output={"formats": list(formats)})
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    return Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)


def verify(folder: Path, key: Path) -> tuple[int, list[str], str]:
    """Exit status, types of the faults, and what was said."""
    command = [sys.executable, "-m", "service.cli", "artifacts", "verify", str(folder), "--key", str(key), "--json"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, [fault["type"] for fault in json.loads(done.stdout)["faults"]], done.stderr


def test_a_worker_with_a_key_signs_its_artifacts(
    settings: Settings, database: Database, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    private, public = keys
    artifact = publish(settings.model_copy(update={"signing_key": private}), database, "packed")
    manifest = Manifest.model_validate_json((artifact / "manifest.json").read_bytes())
    assert manifest.signature is not None
    assert manifest.signature.key_sha256 == key_sha256(public)
    assert "model.sig" in {file.path for file in manifest.files}
    assert verify(artifact, public)[:2] == (0, [])

    unpack(artifact, None)
    assert list(artifact.glob("*.safetensors"))
    assert verify(artifact, public)[:2] == (0, [])

    stranger = key_pair(tmp_path / "stranger", ec.generate_private_key(ec.SECP256R1()))[1]
    status, types, said = verify(artifact, stranger)
    assert (status, types) == (1, ["signed-by-another-key"])
    assert "do not trust it" in said

    card = artifact / "README.md"
    card.write_text(card.read_text() + "An invitation.\n")
    assert verify(artifact, public)[:2] == (1, ["altered", "not-as-signed"])


def test_without_a_key_nothing_is_signed_and_verify_reports_it(
    settings: Settings, database: Database, keys: tuple[Path, Path]
) -> None:
    artifact = publish(settings, database, "dense")
    assert not (artifact / "model.sig").exists()
    assert Manifest.model_validate_json((artifact / "manifest.json").read_bytes()).signature is None
    assert verify(artifact, keys[1])[:2] == (1, ["not-signed"])


def test_an_unusable_signing_key_fails_the_job_before_the_run(settings: Settings, database: Database, tmp_path: Path) -> None:
    save_model(settings.model_root / "tiny")
    job_id = insert_job(database, max_attempts=1)
    assert work(settings.model_copy(update={"signing_key": tmp_path / "nowhere.pem"}), threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "signing key" in job.error["detail"]
    assert "nowhere" not in json.dumps(job.error)
    assert "block_pruned" not in event_types(database, job_id)
