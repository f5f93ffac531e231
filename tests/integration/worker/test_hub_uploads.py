"""Jobs whose artifact goes to a repository of the hub, too: as they are asked for, and as a worker carries them out."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, client, key_for, problem, serving
from tests.support.job_rows import events_of, insert_job, job_row
from tests.support.tiny_model import save_model
from tests.support.upload_hub import UploadingHub
from worker.attempt.runner import work

TOKEN = f"hf_{hashlib.sha256(b'upload').hexdigest()[:30]}"
REPO = "org/sparse"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadingHub]:
    with UploadingHub(TOKEN) as started:
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield started


@pytest.fixture
def with_tokens(settings: Settings, tmp_path: Path) -> Settings:
    """With a token `research` of each tenant."""
    for tenant in ("acme", "test"):
        (tmp_path / "tokens" / tenant).mkdir(parents=True)
        (tmp_path / "tokens" / tenant / "research").write_text(f"{TOKEN}\n")
    return settings.model_copy(update={"hub_tokens_dir": tmp_path / "tokens"})


def body(**asked: Any) -> dict[str, Any]:
    return BODY | {"output": {"hub": {"repo": REPO, "token": "research"} | asked}}


@pytest.mark.parametrize(
    ("changes", "asked", "pointer"),
    [
        ({}, {"token": "nobody"}, "/output/hub/token"),
        ({"hub_tokens_dir": None}, {}, "/output/hub/token"),
        ({"hub_upload_to": ["mine/*"]}, {}, "/output/hub/repo"),
        ({"hub_upload_to": []}, {}, "/output/hub/repo"),
        ({}, {"token": TOKEN}, "/output/hub/token"),
        ({}, {"repo": "no-owner"}, "/output/hub/repo"),
        ({}, {"branch": "a..b"}, "/output/hub/branch"),
    ],
)
def test_an_impossible_upload_is_refused_at_once(
    changes: dict[str, Any], asked: dict[str, Any], pointer: str, with_tokens: Settings, database: Database
) -> None:
    settings = with_tokens.model_copy(update=changes)
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        for query in ({}, {"validate_only": "true"}):
            answer = api.post("/v1/jobs", json=body(**asked), params=query)
            status, kind, pointers = problem(answer)
            assert (status, pointers) == (422, [pointer]), answer.text
            assert kind in {"invalid-input", "validation"}, kind
            assert TOKEN not in answer.text


def test_a_job_stores_the_tokens_name_and_triggers_can_upload(with_tokens: Settings, database: Database) -> None:
    with serving(with_tokens) as url, client(url, key_for(database, Scope.ADMIN)) as asking:
        made = asking.post("/v1/jobs", json=body()).json()
        assert made["spec"]["output"]["hub"] == {"repo": REPO, "token": "research", "private": True, "branch": "main"}
        template = body(repo="${{ data.owner }}/sparse")
        trigger = asking.post("/v1/triggers", json={"name": "t", "template": template}).json()
        fired = asking.post(f"/v1/triggers/{trigger['id']}/fire", json={"id": "e", "owner": "org"})
        assert fired.status_code == 201, fired.text
        template = body(token="${{ data.who }}")
        trigger = asking.post("/v1/triggers", json={"name": "u", "template": template}).json()
        refused = asking.post(f"/v1/triggers/{trigger['id']}/fire", json={"id": "f", "who": "nobody"})
        assert problem(refused)[2] == ["/output/hub/token"]


def carried_out(settings: Settings, database: Database, **asked: Any) -> UUID:
    save_model(settings.model_root / "tiny")
    upload = {"repo": REPO, "token": "research"} | asked
    job_id = insert_job(database, output={"formats": ["dense", "packed"], "hub": upload})
    assert work(settings, threading.Event())
    return job_id


def published(settings: Settings, database: Database, job_id: UUID) -> dict[str, bytes]:
    """The files of the artifact in the store, without the manifest."""
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    folder = Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_the_repository_matches_the_store(with_tokens: Settings, database: Database, hub: UploadingHub) -> None:
    job_id = carried_out(with_tokens, database)

    stored, metrics = published(with_tokens, database, job_id), job_row(database, job_id).metrics
    there = hub.repositories[REPO].head()
    assert {name: content for name, content in there.items() if name != ".gitattributes"} == stored
    assert {name.rpartition(".")[2] for name in stored} >= {"safetensors", "packed"}
    assert metrics is not None
    assert metrics["hub"]["commit_url"] == f"{hub.address}/{REPO}/commit/{metrics['hub']['commit']}"
    assert hub.repositories[REPO].messages == [f"tiny, 50 % sparse by wanda (dsnot job {job_id})"]
    assert json.loads(stored["recipe.json"])["output"] == {"formats": ["dense", "packed"], "dtype": "source"}
    assert not [name for name, content in stored.items() if REPO.encode() in content or b"research" in content]


def test_a_failed_upload_keeps_the_artifact_and_adds_a_warning(
    with_tokens: Settings, database: Database, hub: UploadingHub
) -> None:
    hub.refusals["commit"] = [403]
    job_id = carried_out(with_tokens, database)

    assert "config.json" in published(with_tokens, database, job_id)
    metrics = job_row(database, job_id).metrics
    assert metrics is not None
    assert set(metrics["hub"]) == {"repo", "branch", "error"}
    (warning,) = [each for each in metrics["warnings"] if "hub" in each]
    assert f"`dsnot artifacts download {job_id}`" in warning
    told = json.dumps([metrics, [event.data for event in events_of(database, job_id)]])
    assert TOKEN not in told


def test_a_token_missing_on_the_worker_is_a_warning(settings: Settings, database: Database, hub: UploadingHub) -> None:
    job_id = carried_out(settings, database)

    published(settings, database, job_id)
    metrics = job_row(database, job_id).metrics
    assert metrics is not None
    assert "On this worker there is no hub token 'research'" in metrics["hub"]["error"]
    assert hub.asked == []
