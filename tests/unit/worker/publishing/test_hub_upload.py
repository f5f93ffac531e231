"""Uploads by the hub's own client, in a process of their own as workers do it, to a hub that runs here."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.contract.spec import JobSpec
from tests.support import checkpoints
from tests.support.upload_hub import UploadingHub
from tests.support.waiting import CEILING_SECONDS, eventually
from worker.publishing.hub.upload import upload_to_hub, warnings_of
from worker.run.context import Run
from worker.run.lease import JobCancelled

TOKEN = f"hf_{hashlib.sha256(b'upload').hexdigest()[:30]}"
REPO = "org/sparse"
ARTIFACT = {
    "config.json": b"{}",
    "README.md": b"---\ntags:\n- pruned\n---\n# Sparse\n",
    "model-00001-of-00002.safetensors": os.urandom(300_000),
    "model-00002-of-00002.safetensors": os.urandom(200_000),
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "additional_chat_templates/tools.jinja": b"{{ tools }}",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadingHub]:
    with UploadingHub(TOKEN) as started:
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_TOKEN", "hf_TheOperatorsOwnMustNotBeUsed000")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield started


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "pruned"
    for name, content in ARTIFACT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class Ticking:
    """A reporter that only counts, or raises at the n-th tick."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.ticks, self._stop_at = 0, stop_at

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks == self._stop_at:
            raise JobCancelled("the user cancelled the job")


def run_of(folder: Path, *, stop_at: int | None = None, settings: dict[str, Any] | None = None, **asked: Any) -> Run:
    """A run whose tenant has the token `research`."""
    root = folder.parent.parent
    for name, token in (("research", TOKEN), ("stale", "hf_ThatTheHubDoesNotKnowAnyMore0")):
        (root / "tokens" / "acme").mkdir(parents=True, exist_ok=True)
        (root / "tokens" / "acme" / name).write_text(token)
    upload = {"repo": REPO, "token": "research"} | asked
    spec = JobSpec.model_validate({"model": {"id": "org/model"}, "output": {"hub": upload}})
    made = SimpleNamespace(
        job_id="0b8f1c1e",
        tenant="acme",
        spec=spec,
        folder=folder.parent,
        settings=checkpoints.settings(root, hub_tokens_dir=root / "tokens", **(settings or {})),
        reporter=Ticking(stop_at),
    )
    return cast("Run", made)


def upload(folder: Path, **asked: Any) -> dict[str, Any]:
    came = upload_to_hub(run_of(folder, **asked), folder)
    assert came is not None
    assert TOKEN not in json.dumps(came)
    return came


def test_the_hub_has_the_artifact_byte_for_byte_in_one_commit(hub: UploadingHub, artifact: Path) -> None:
    came = upload(artifact)

    written = hub.repositories[REPO]
    assert {name: content for name, content in written.head().items() if name != ".gitattributes"} == ARTIFACT
    assert written.private
    assert written.messages == ["org/model, 50 % sparse by wanda, swaps (dsnot job 0b8f1c1e)"]
    assert came == {
        "repo": REPO,
        "branch": "main",
        "commit": came["commit"],
        "commit_url": f"{hub.address}/{REPO}/commit/{came['commit']}",
    }
    assert hub.tokens == {TOKEN}
    assert hub.asked.count("object") == 2
    assert warnings_of(came, "0b8f1c1e") == []


def test_a_job_without_repository_makes_no_hub_requests(hub: UploadingHub, artifact: Path) -> None:
    run = run_of(artifact)
    without = SimpleNamespace(**vars(run) | {"spec": JobSpec.model_validate({"model": {"id": "org/model"}})})
    assert upload_to_hub(cast("Run", without), artifact) is None
    assert hub.asked == []


def test_an_equal_artifact_makes_no_commit(hub: UploadingHub, artifact: Path) -> None:
    first, again = upload(artifact), upload(artifact)
    assert again == first
    assert len(hub.repositories[REPO].messages) == 1

    (artifact / "README.md").write_bytes(b"# Another\n")
    third = upload(artifact)
    assert third["commit"] != first["commit"]
    assert hub.repositories[REPO].head()["README.md"] == b"# Another\n"
    assert hub.asked.count("object") == 2, "the weights were there"


def test_weights_of_an_earlier_upload_are_removed_others_kept(hub: UploadingHub, artifact: Path) -> None:
    hub.add(REPO, {"model.safetensors": b"old", "model.packed": b"old", "model.sig": b"old", "notes.md": b"mine"})

    upload(artifact)

    assert set(hub.repositories[REPO].head()) == {*ARTIFACT, "notes.md"}


def test_a_branch_is_created_and_the_main_branch_unchanged(hub: UploadingHub, artifact: Path) -> None:
    hub.add(REPO, {"notes.md": b"mine"})

    assert "error" not in upload(artifact, branch="runs/7")

    written = hub.repositories[REPO]
    assert set(written.head("runs/7")) == {*ARTIFACT, "notes.md"}
    assert written.head() == {"notes.md": b"mine"}


def test_a_private_upload_to_a_public_repository_is_refused(hub: UploadingHub, artifact: Path) -> None:
    hub.add(REPO, {}, private=False)

    assert "org/sparse is public" in upload(artifact)["error"]
    assert hub.repositories[REPO].head() == {}
    assert "error" not in upload(artifact, private=False)


@pytest.mark.parametrize(
    ("what", "status", "sentence"),
    [
        ("create", 401, "does not accept the token 'research' (401)"),
        ("create", 403, "The token 'research' may not write to org/sparse (403)"),
        ("create", 404, "The hub has no owner org"),
        ("create", 429, "rate limit is exceeded (429)"),
        ("create", 500, "internal error (HTTP status 500)"),
        ("object", 403, "may not write to org/sparse (403)"),
        ("object", 413, "rejects a file as too large (413)"),
        ("commit", 403, "may not write to org/sparse (403)"),
        ("commit", 409, "changed org/sparse at the same time"),
        ("commit", 418, "HTTP status 418"),
        ("commit", 503, "internal error (HTTP status 503)"),
    ],
)
def test_an_error_has_a_sentence_and_a_remedy(what: str, status: int, sentence: str, hub: UploadingHub, artifact: Path) -> None:
    hub.refusals[what] = [status]

    came = upload(artifact)

    assert sentence in came["error"]
    assert set(came) == {"repo", "branch", "error"}
    (warning,) = warnings_of(came, "0b8f1c1e")
    assert f"`hf upload {REPO} dsnot-0b8f1c1e`" in warning
    assert hub.address not in warning


def test_transient_errors_are_retried(hub: UploadingHub, artifact: Path) -> None:
    hub.refusals |= {"preupload": [500, 200], "batch": [429, 200], "object": [503, 200]}

    assert "error" not in upload(artifact)
    assert set(hub.repositories[REPO].head()) == {*ARTIFACT, ".gitattributes"}


def test_a_rejected_token_is_not_replaced_by_another(hub: UploadingHub, artifact: Path) -> None:
    assert "does not accept the token 'stale'" in upload(artifact, token="stale")["error"]
    assert hub.tokens == {"hf_ThatTheHubDoesNotKnowAnyMore0"}


def test_an_unreachable_hub_and_offline_mode(hub: UploadingHub, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in upload(artifact)["error"]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "could not be reached" in upload(artifact)["error"]
    assert hub.asked == []


def test_an_upload_over_its_timeout_is_aborted(hub: UploadingHub, artifact: Path) -> None:
    hub.delay_seconds["commit"] = 60

    came = upload(artifact, settings={"hub_upload_seconds": 5.0})

    assert "took longer than 5 s (DSNOT_HUB_UPLOAD_SECONDS)" in came["error"]
    assert not any(each.messages for each in hub.repositories.values())


def test_a_cancelled_job_aborts_its_upload(hub: UploadingHub, artifact: Path) -> None:
    hub.delay_seconds["create"] = 60

    with pytest.raises(JobCancelled):
        upload_to_hub(run_of(artifact, stop_at=6), artifact)

    assert REPO not in hub.repositories


def test_the_upload_process_exits_with_its_worker(hub: UploadingHub, artifact: Path) -> None:
    hub.delay_seconds["create"] = 60
    asked = {"folder": str(artifact), "repo": REPO, "branch": "main", "private": True, "token": TOKEN}
    asked |= {"token_name": "research", "message": "m", "replaced": []}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.publishing.hub.commit"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    eventually(lambda: hub.asked)
    process.stdin.close()
    assert process.wait(CEILING_SECONDS) == 1


@pytest.mark.parametrize(
    ("settings", "asked", "sentence"),
    [
        ({}, {"token": "nobody"}, "On this worker there is no hub token 'nobody'"),
        ({"hub_upload_to": ["mine/*"]}, {}, "may upload to mine/* only"),
        ({"hub_upload_to": []}, {}, "uploads to the hub are disabled"),
    ],
)
def test_an_upload_the_operator_forbids_is_not_attempted(
    settings: dict[str, Any], asked: dict[str, Any], sentence: str, hub: UploadingHub, artifact: Path
) -> None:
    assert sentence in upload(artifact, settings=settings, **asked)["error"]
    assert hub.asked == []
