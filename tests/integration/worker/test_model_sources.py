"""Models of the hub, of folders and of earlier jobs, as they are inspected, admitted, pinned and pruned."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, problem, serving
from tests.support.download_hub import TinyHub
from tests.support.job_rows import job_row
from tests.support.tiny_model import save_model

SHORT = {
    "calibration": {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 32},
    "evaluation": {"perplexity": [], "sequence_length": 32},
}
LATER = "f" * 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyHub]:
    """A hub with the model `org/tiny`, which the client's own code finds."""
    with TinyHub() as started:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", started.address)
        template = f"{started.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        started.add("org/tiny", model, {})
        yield started


@pytest.fixture
def asking(settings: Settings, database: Database, hub: TinyHub, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a service that asks the hub itself."""
    tokens = tmp_path / "tokens"
    (tokens / "acme").mkdir(parents=True)
    (tokens / "acme" / "research").write_text("hf_planted\n")
    changed = settings.model_copy(update={"hub_from_service": True, "hub_seconds": 1.0, "hub_tokens_dir": tokens})
    with serving(changed) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def of_hub(name: str, **more: Any) -> dict[str, Any]:
    return {"model": {"id": f"org/{name}", **more}, **SHORT}


def inspect(api: httpx.Client, **asked: str) -> httpx.Response:
    return api.get("/v1/models/inspect", params=asked)


def test_the_memory_of_a_hub_model_is_known_after_its_plan_to_this_tenant_alone(
    asking: httpx.Client, hub: TinyHub, database: Database
) -> None:
    def least(api: httpx.Client) -> int | None:
        job_id = api.post("/v1/jobs", json=of_hub("tiny", revision=TinyHub.commit)).json()["id"]
        return job_row(database, UUID(job_id)).least_device_bytes

    assert least(asking) is None
    assert asking.post("/v1/jobs", params={"validate_only": "true"}, json=of_hub("tiny")).status_code == 200
    requests = len(hub.asked)
    assert least(asking) is not None
    assert len(hub.asked) == requests
    with client(str(asking.base_url), key_for(database, Scope.ADMIN, tenant="other")) as other:
        assert least(other) is None


def test_a_model_is_equal_from_every_source(asking: httpx.Client, settings: Settings, model: Path, database: Database) -> None:
    (settings.model_root / "tiny").symlink_to(settings.model_root / "real")
    (settings.model_root / "real").mkdir()
    for path in model.iterdir():
        (settings.model_root / "real" / path.name).write_bytes(path.read_bytes())
    job_id = published(database, settings, model)
    answers = [
        inspect(asking, id="org/tiny"),
        inspect(asking, source="local", id="tiny"),
        inspect(asking, source="job", id=job_id),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    found = [answer.json() for answer in answers]
    assert [view.pop("model")["revision"] for view in found] == [TinyHub.commit, None, "7"]
    assert found[0] == found[1] == found[2]
    assert (found[0]["model_type"], found[0]["blocks"], found[0]["can_be_pruned"]) == ("llama", 2, True)
    kinds = {each["name"].split(".")[1]: (each["rows"], each["columns"], each["count"]) for each in found[0]["matrices"]}
    squares, narrow = dict.fromkeys(("q_proj", "o_proj"), (32, 32, 2)), dict.fromkeys(("k_proj", "v_proj"), (16, 32, 2))
    assert kinds == squares | narrow | {"gate_proj": (64, 32, 2), "up_proj": (64, 32, 2), "down_proj": (32, 64, 2)}


def published(database: Database, settings: Settings, model: Path, **values: Any) -> str:
    """A job that has succeeded, with the model as its artifact."""
    prefix = "jobs/earlier/7"
    job_id = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix=prefix, **values)
    folder = Path(settings.artifact_url.removeprefix("file://")) / prefix
    folder.mkdir(parents=True)
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    files = [{"path": path.name, "bytes": path.stat().st_size, "sha256": "0" * 64} for path in model.iterdir()]
    (folder / "manifest.json").write_text(json.dumps({"job_id": str(job_id), "fence": 7, "files": files}))
    return str(job_id)


def test_only_headers_are_read_of_a_hub_model(asking: httpx.Client, hub: TinyHub) -> None:
    assert inspect(asking, id="org/tiny").status_code == 200
    weights = [asked for asked in hub.asked if asked.path.endswith(".safetensors")]
    assert weights
    assert all(asked.range for asked in weights)
    assert hub.fetched == []


def test_the_requested_commit_is_pinned_when_the_branch_moves(asking: httpx.Client, hub: TinyHub) -> None:
    first = asking.post("/v1/jobs", json=of_hub("tiny")).json()
    hub.push("org/tiny", LATER, {"README.md": b"newer"})
    second = asking.post("/v1/jobs", json=of_hub("tiny", revision="main")).json()
    assert [job["spec"]["model"]["revision"] for job in (first, second)] == [TinyHub.commit, LATER]
    asked = len(hub.asked)
    again = asking.post("/v1/jobs", json=first["spec"])
    assert again.json()["spec"] == first["spec"]
    assert len(hub.asked) == asked, "a commit needs no answer"


@pytest.mark.parametrize(
    ("status", "code", "more", "kind", "pointer"),
    [
        (404, "RepoNotFound", {}, "model-not-found", "/model/id"),
        (401, "RepoNotFound", {}, "model-not-found", "/model/id"),
        (401, None, {}, "model-access-denied", "/model/id"),
        (403, "GatedRepo", {}, "model-access-denied", "/model/id"),
        (None, None, {"revision": "nowhere"}, "model-not-found", "/model/revision"),
        (None, None, {"token": "nobody"}, "model-access-denied", "/model/token"),
    ],
)
def test_errors_of_the_hub_are_refused_at_once(
    asking: httpx.Client, hub: TinyHub, status: int | None, code: str | None, more: dict[str, str], kind: str, pointer: str
) -> None:
    if status is not None:
        hub.refuse("org/tiny", status, code)
    answer = asking.post("/v1/jobs", json=of_hub("tiny", **more))
    assert problem(answer) == (422, kind, [pointer])
    assert "http" not in answer.json()["detail"]
    assert problem(inspect(asking, id="org/tiny", **more))[:2] == (422, kind)


def test_an_incompatible_hub_model_is_refused_before_download(asking: httpx.Client, hub: TinyHub, model: Path) -> None:
    config = json.loads((model / "config.json").read_bytes())
    hub.add(
        "org/coded", model, {"config.json": json.dumps(config | {"model_type": "own", "auto_map": {"AutoModel": "x.Y"}}).encode()}
    )
    hub.add("org/pickled", None, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    for name in ("coded", "pickled"):
        assert problem(asking.post("/v1/jobs", json=of_hub(name))) == (422, "model-unsafe", ["/model/id"])
    long = of_hub("tiny") | {"calibration": {"dataset": "c4-sample:test", "sequence_length": 4096}}
    assert problem(asking.post("/v1/jobs", json=long)) == (422, "invalid-input", ["/calibration/sequence_length"])


@pytest.mark.parametrize("trouble", [429, 500, 503, "slow", "gone"])
def test_jobs_are_accepted_during_a_hub_outage(
    asking: httpx.Client, hub: TinyHub, trouble: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(trouble, int):
        hub.refuse("org/tiny", trouble, None)
    elif trouble == "slow":
        hub.delay_seconds["org/tiny"] = 5.0
    else:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    answers = [asking.post("/v1/jobs", json=of_hub("tiny")) for _ in range(3)]
    assert [(answer.status_code, answer.json()["spec"]["model"]["revision"]) for answer in answers] == [(201, None)] * 3
    assert ["no answer" in " ".join(answer.json()["warnings"]) for answer in answers] == [True] * 3
    assert len(hub.asked) <= 1
    refused = inspect(asking, id="org/tiny")
    assert problem(refused)[:2] == (503, "hub-unavailable")
    assert int(refused.headers["Retry-After"]) > 0


def test_a_gated_model_is_read_with_a_named_token(asking: httpx.Client, hub: TinyHub, model: Path) -> None:
    hub.add("org/gated", model, {}, token="hf_planted")
    assert problem(asking.post("/v1/jobs", json=of_hub("gated")))[1] == "model-access-denied"
    accepted = asking.post("/v1/jobs", json=of_hub("gated", token="research"))
    assert accepted.status_code == 201
    assert accepted.json()["spec"]["model"]["token"] == "research"
    assert "hf_planted" not in accepted.text + inspect(asking, id="org/gated", token="research").text


def test_a_token_belongs_to_a_tenant(asking: httpx.Client, database: Database) -> None:
    other = {"Authorization": f"Bearer {key_for(database, Scope.ADMIN, tenant='other')}"}
    refused = asking.post("/v1/jobs", json=of_hub("tiny", token="research"), headers=other)
    assert problem(refused) == (422, "model-access-denied", ["/model/token"])


def test_an_earlier_artifact_is_pinned_and_kept_while_needed(
    api: httpx.Client, settings: Settings, database: Database, model: Path
) -> None:
    job_id = published(database, settings, model)
    body = {"model": {"source": "job", "id": job_id}, **SHORT}
    user = api.post("/v1/jobs", json=body)
    assert user.status_code == 201
    assert user.json()["spec"]["model"] == {"source": "job", "id": job_id, "revision": "7", "token": None}
    refused = api.delete(f"/v1/jobs/{job_id}")
    assert problem(refused)[:2] == (409, "conflict")
    assert user.json()["id"] in refused.json()["detail"]
    assert api.post(f"/v1/jobs/{user.json()['id']}/cancel").status_code == 200
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert problem(api.post("/v1/jobs", json=body)) == (422, "model-not-found", ["/model/id"])


def test_an_earlier_artifact_in_an_unreadable_store_is_unavailable(
    api: httpx.Client, settings: Settings, database: Database, model: Path
) -> None:
    job_id = published(database, settings, model)
    manifest = Path(settings.artifact_url.removeprefix("file://")) / "jobs" / "earlier" / "7" / "manifest.json"
    manifest.unlink()
    manifest.symlink_to(manifest)
    for answer in (
        api.post("/v1/jobs", json={"model": {"source": "job", "id": job_id}, **SHORT}),
        inspect(api, source="job", id=job_id),
    ):
        assert problem(answer)[:2] == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0


def test_an_earlier_job_without_an_artifact_is_refused(api: httpx.Client, database: Database) -> None:
    waiting = insert_job(database)
    foreign = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/x/1", tenant="other")
    lost = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/lost/1")
    packed_spec = JobSpec.model_validate(BODY | {"output": {"formats": ["packed", "mask"]}}).model_dump(mode="json")
    packed = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/x/1", spec=packed_spec)
    refused = api.post("/v1/jobs", json={"model": {"source": "job", "id": str(packed)}, **SHORT})
    assert "repeat it with `dense` among its output.formats" in refused.json()["detail"]
    for job_id in (waiting, foreign, lost, packed, "00000000-0000-0000-0000-000000000000"):
        body = {"model": {"source": "job", "id": str(job_id)}, **SHORT}
        assert problem(api.post("/v1/jobs", json=body)) == (422, "model-not-found", ["/model/id"]), job_id


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "id"),
        ({"id": "../etc"}, "id"),
        ({"id": "a" * 300}, "id"),
        ({"id": "org/x", "source": "s3"}, "source"),
        ({"id": "x", "source": "local", "revision": "main"}, "revision"),
        ({"id": "org/x", "token": "../x"}, "token"),
        ({"id": "no-uuid", "source": "job"}, "id"),
    ],
)
def test_a_source_that_cannot_be_inspected_gets_a_pointer(api: httpx.Client, asked: dict[str, str], pointer: str) -> None:
    assert problem(inspect(api, **asked)) == (422, "invalid-input", [pointer])


def test_job_rows_store_the_name_of_a_token_only(asking: httpx.Client, database: Database) -> None:
    made = asking.post("/v1/jobs", json=of_hub("tiny", token="research")).json()
    assert "hf_planted" not in json.dumps(job_row(database, made["id"]).spec)
