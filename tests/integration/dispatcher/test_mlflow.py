"""Jobs on a real MLflow server, whatever comes between."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.mlflow import MlflowExport
from service.dispatcher.mlflow_logging import MlflowLogger
from service.embedded.processes import free_port
from service.jobs.mlflow import repository
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from tests.support.api_server import client, key_for, problem, serving, set_job
from tests.support.artifacts import publish
from tests.support.http_fault_proxy import Fault, Request, in_front_of
from tests.support.job_rows import SPEC, event_types, events_of, insert_job, job_row
from tests.support.mlflow import Mlflow
from tests.support.processes import dispatching
from tests.support.tiny_model import save_model
from tests.support.trigger_events import MLFLOW
from tests.support.waiting import eventually
from worker.attempt.runner import work

RETRIES = (0.0, 0.0)


@pytest.fixture
def wanted() -> dict[str, Any]:
    """An experiment and a model of this test alone."""
    name = uuid4().hex[:8]
    return {"experiment": f"experiment {name}", "registered_model": f"model {name}", "alias": "candidate"}


@pytest.fixture
def logging(mlflow: Mlflow, settings: Settings) -> Settings:
    """Settings that lead to the server, impatient."""
    return mlflow.settings(settings, webhook_retry_seconds=RETRIES)


@pytest.fixture
def api(logging: Settings, database: Database) -> Iterator[httpx.Client]:
    with serving(logging) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def ended_job(settings: Settings, database: Database, wanted: dict[str, Any]) -> UUID:
    """A job that has just succeeded, with an artifact that no worker has made."""
    job_id = publish(settings, database, {"report.html": b"<h1>Report</h1>", "config.json": b"{}"})
    spec = job_row(database, job_id).spec
    output = spec["output"] | {
        "mlflow": {"experiment": "dsnot", "run_name": None, "registered_model": None, "alias": None} | wanted
    }
    set_job(database, job_id, spec=spec | {"output": output}, finished_at=datetime.now(UTC), fence=1)
    with database.begin() as session:
        repository.add(session, job_id)
    return job_id


def attempt(settings: Settings, *, finds: bool = True) -> None:
    """One attempt at the job that is due, if one `finds` any."""
    with closing(MlflowLogger(settings)) as logger:
        assert logger.log_next() is finds


def seen(api: httpx.Client, job_id: UUID) -> dict[str, Any]:
    found = api.get(f"/v1/jobs/{job_id}").json()
    assert found["state"] == "succeeded"
    assert isinstance(found["mlflow"], dict)
    return found["mlflow"]


def exports(database: Database) -> list[UUID]:
    with database.begin() as session:
        return list(session.scalars(select(MlflowExport.job_id)))


def by_key(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in items}


def is_for(path: str) -> Any:
    return lambda request: request.path.startswith(f"/api/2.0/mlflow/{path}")


def once(path: str, fault: Fault) -> Any:
    """The plan of a proxy: the fault meets the first request for this path."""
    found: list[Request] = []

    def plan(request: Request) -> Fault | None:
        if not is_for(path)(request) or found:
            return None
        found.append(request)
        return fault

    return plan


def test_a_job_becomes_a_run_and_a_version_of_a_model(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    save_model(logging.model_root / "tiny")
    job_id = insert_job(
        database, output={"mlflow": wanted}, evaluation=SPEC["evaluation"] | {"perplexity": ["wiki-sample"]}, name="2:4 & more"
    )
    set_job(database, job_id, tenant="acme", name="2:4 & more")
    assert api.get(f"/v1/jobs/{job_id}").json()["mlflow"]["state"] == "waiting"
    assert work(logging, threading.Event())
    assert seen(api, job_id)["state"] == "pending"
    attempt(logging)

    (run,) = mlflow.runs(wanted["experiment"])
    info, data, job = run["info"], run["data"], job_row(database, job_id)
    assert (info["run_name"], info["status"]) == ("2:4 & more", "FINISHED")
    parameters, metrics, tags = (by_key(data[kind]) for kind in ("params", "metrics", "tags"))
    assert parameters["model.id"] == "tiny"
    assert parameters["recipe.criterion"] == "wanda"
    assert parameters["calibration.num_samples"] == "2"
    assert job.metrics is not None
    (measured,) = job.metrics["pruned"]["perplexity"]
    assert metrics["perplexity/wiki-sample/test"] == measured["perplexity"]
    history = mlflow.get("metrics/get-history", run_id=info["run_id"], metric_key="block/error")["metrics"]
    layers = api.get(f"/v1/jobs/{job_id}/layers").json()["items"]
    assert [each["step"] for each in history] == sorted({layer["block"] for layer in layers})
    of_first = [layer["error"] for layer in layers if layer["block"] == 0]
    assert history[0]["value"] == pytest.approx(sum(of_first) / len(of_first))
    folder = Path(logging.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)
    assert tags["dsnot.manifest_sha256"] == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert (tags["dsnot.job_id"], tags["dsnot.fence"]) == (str(job_id), str(job.fence))
    assert tags["dsnot.url"] == f"https://dsnot.example/jobs/{job_id}"
    for name in ("report.html", "README.md", "recipe.json", "provenance.json", "sparsity_report.json", "manifest.json"):
        assert mlflow.file(run, f"dsnot/{name}") == (folder / name).read_bytes()
    assert "mlflow" not in json.loads((folder / "recipe.json").read_text())["output"]

    (version,) = mlflow.versions(wanted["registered_model"])
    assert (version["run_id"], version["source"]) == (info["run_id"], f"runs:/{info['run_id']}/dsnot")
    aliases = mlflow.get("registered-models/get", name=wanted["registered_model"])["registered_model"]["aliases"]
    assert aliases == [{"alias": "candidate", "version": "1"}]
    log = seen(api, job_id)
    assert (log["state"], log["model"], log["version"], log["attempts"]) == ("logged", wanted["registered_model"], "1", 1)
    assert log["run_url"].endswith(f"/runs/{info['run_id']}")
    last = events_of(database, job_id)[-1]
    assert (last.type, last.data["run_id"], last.data["version"]) == (EventType.MLFLOW_LOGGED, info["run_id"], "1")
    assert exports(database) == []


def test_a_job_without_a_run_is_not_logged(logging: Settings, database: Database, api: httpx.Client) -> None:
    save_model(logging.model_root / "tiny")
    job_id = insert_job(database)
    set_job(database, job_id, tenant="acme")
    assert work(logging, threading.Event())
    assert api.get(f"/v1/jobs/{job_id}").json()["mlflow"] is None
    attempt(logging, finds=False)


def test_an_artifact_in_a_bucket_is_the_source_of_the_version(
    mlflow: Mlflow, logging: Settings, s3_settings: Settings, database: Database, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    job = job_row(database, job_id)
    at_s3 = logging.model_copy(update={"artifact_url": s3_settings.artifact_url})
    local = Path(logging.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)
    for name in ("manifest.json", "report.html"):
        with (local / name).open("rb") as content:
            ArtifactStore(at_s3.artifact_url).put(f"{job.artifact_prefix}/{name}", content)
    attempt(at_s3)
    (version,) = mlflow.versions(wanted["registered_model"])
    assert version["source"] == f"{s3_settings.artifact_url}/{job.artifact_prefix}"
    assert by_key(version["tags"])["dsnot.artifact_uri"] == version["source"]


def test_a_run_whose_files_mlflow_does_not_take_links_to_the_report(
    mlflow: Mlflow, logging: Settings, database: Database, wanted: dict[str, Any]
) -> None:
    mlflow.post("experiments/create", name=wanted["experiment"], artifact_location="s3://elsewhere/mlflow")
    job_id = ended_job(logging, database, wanted)
    attempt(logging)
    (run,) = mlflow.runs(wanted["experiment"])
    assert by_key(run["data"]["tags"])["dsnot.report_url"] == f"https://dsnot.example/jobs/{job_id}/report"


@pytest.mark.parametrize(
    ("changes", "asked", "pointer", "reason"),
    [
        ({"mlflow_tracking_uri": None}, {}, "/output/mlflow", "DSNOT_MLFLOW_TRACKING_URI"),
        ({"mlflow_register_to": ["team-*"]}, {"registered_model": "prod"}, "/output/mlflow/registered_model", "team-* only"),
        ({"mlflow_register_to": []}, {"registered_model": "prod"}, "/output/mlflow/registered_model", "no registered model"),
        ({}, {"alias": "candidate"}, "/output/mlflow/alias", "set registered_model as well"),
    ],
)
def test_an_impossible_run_is_refused_at_creation(
    changes: dict[str, Any], asked: dict[str, Any], pointer: str, reason: str, logging: Settings, database: Database
) -> None:
    settings = logging.model_copy(update=changes)
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        answer = api.post("/v1/jobs", json=SPEC | {"output": {"mlflow": asked}})
        assert (problem(answer)[0], problem(answer)[2]) == (422, [pointer]), answer.text
        assert reason in answer.json()["errors"][0]["detail"]


def test_a_server_that_is_down_is_tried_again(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    attempt(logging.model_copy(update={"mlflow_tracking_uri": f"http://127.0.0.1:{free_port()}"}))
    log = seen(api, job_id)
    assert (log["state"], log["error"]) == ("pending", "MLflow cannot be reached: connection refused")
    assert log["next_attempt_at"]
    attempt(logging)
    log = seen(api, job_id)
    assert (log["state"], log["error"], log["attempts"], log["next_attempt_at"]) == ("logged", None, 2, None)
    assert len(mlflow.runs(wanted["experiment"])) == 1


def test_a_server_that_fails_is_given_up_after_the_schedule(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    with in_front_of(mlflow.url) as proxy:
        proxy.plan = lambda _: Fault.ERROR
        behind = logging.model_copy(update={"mlflow_tracking_uri": proxy.address})
        for _ in range(len(RETRIES) + 1):
            assert event_types(database, job_id)[-1:] != [EventType.MLFLOW_FAILED]
            attempt(behind)
        attempt(behind, finds=False)
    log = seen(api, job_id)
    assert (log["state"], log["error"], log["attempts"]) == ("failed", "MLflow answered 500", len(RETRIES) + 1)
    last = events_of(database, job_id)[-1]
    assert (last.type, last.data["error"]) == (EventType.MLFLOW_FAILED, "MLflow answered 500")


def test_a_job_that_was_given_up_is_logged_again_on_request(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted | {"registered_model": ".."})
    attempt(logging)
    assert seen(api, job_id)["state"] == "failed"
    spec = job_row(database, job_id).spec  # the operator mends the server; here the name
    set_job(database, job_id, spec=spec | {"output": spec["output"] | {"mlflow": {**spec["output"]["mlflow"], **wanted}}})
    for _ in range(2):
        answer = api.post(f"/v1/jobs/{job_id}/mlflow").json()["mlflow"]
        assert (answer["state"], answer["error"], answer["attempts"]) == ("pending", None, 0)
    attempt(logging)
    attempt(logging, finds=False)
    assert (seen(api, job_id)["state"], seen(api, job_id)["version"]) == ("logged", "1")
    assert api.post(f"/v1/jobs/{job_id}/mlflow").json()["mlflow"]["state"] == "pending"
    attempt(logging)
    assert len(mlflow.runs(wanted["experiment"])) == len(mlflow.versions(wanted["registered_model"])) == 1


@pytest.mark.parametrize(
    ("has_ended", "asked", "changes", "reason"),
    [
        (False, {"experiment": "dsnot"}, {}, "the job is queued; only a job that has succeeded is logged to MLflow"),
        (False, None, {}, "no output.mlflow"),
        (True, {}, {"mlflow_tracking_uri": None}, "DSNOT_MLFLOW_TRACKING_URI"),
    ],
)
def test_a_job_that_cannot_be_logged_is_refused(
    has_ended: bool, asked: dict[str, Any] | None, changes: dict[str, Any], reason: str, logging: Settings, database: Database
) -> None:
    job_id = ended_job(logging, database, asked or {}) if has_ended else insert_job(database, output={"mlflow": asked})
    set_job(database, job_id, tenant="acme")
    before = exports(database)
    with serving(logging.model_copy(update=changes)) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        answer = api.post(f"/v1/jobs/{job_id}/mlflow")
        assert problem(answer)[:2] == (409, "conflict")
        assert reason in answer.json()["detail"]
    assert exports(database) == before


def test_a_wrong_password_is_named_and_tried_again(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    attempt(logging.model_copy(update={"mlflow_password": SecretStr("not the password")}))
    log = seen(api, job_id)
    assert (log["state"], log["run_id"]) == ("pending", None)
    assert "MLflow answered 401; check the dispatcher's MLFLOW_TRACKING_TOKEN" in log["error"]
    assert "not the password" not in json.dumps(log)
    attempt(logging)
    assert seen(api, job_id)["state"] == "logged"


def test_a_name_that_the_registry_refuses_ends_it_with_the_run_logged(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted | {"registered_model": ".."})
    attempt(logging)
    log = seen(api, job_id)
    (run,) = mlflow.runs(wanted["experiment"])
    assert (log["state"], log["run_id"], log["version"]) == ("failed", run["info"]["run_id"], None)
    assert "MLflow refused the request" in log["error"]
    assert run["info"]["status"] == "FINISHED"
    assert event_types(database, job_id)[-1] == EventType.MLFLOW_FAILED


def test_a_deleted_experiment_is_named(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    made = mlflow.post("experiments/create", name=wanted["experiment"])
    mlflow.post("experiments/delete", experiment_id=made["experiment_id"])
    job_id = ended_job(logging, database, wanted)
    attempt(logging)
    log = seen(api, job_id)
    assert log["state"] == "failed"
    assert "is deleted in MLflow; restore it" in log["error"]


@pytest.mark.parametrize("path", ["runs/create", "model-versions/create", "registered-models/alias"])
def test_a_lost_answer_makes_neither_a_second_run_nor_a_second_version(
    path: str, mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    with in_front_of(mlflow.url) as proxy:
        proxy.plan = once(path, Fault.CUT_ANSWER)
        behind = logging.model_copy(update={"mlflow_tracking_uri": proxy.address})
        attempt(behind)
        assert (proxy.hit, seen(api, job_id)["state"]) == (1, "pending")
        attempt(behind)
    assert seen(api, job_id)["state"] == "logged"
    assert len(mlflow.runs(wanted["experiment"])) == len(mlflow.versions(wanted["registered_model"])) == 1


def test_a_dispatcher_killed_between_run_and_version_is_continued_by_another(
    mlflow: Mlflow,
    logging: Settings,
    database: Database,
    api: httpx.Client,
    wanted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", str(logging.mlflow_username))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow.password)
    job_id = ended_job(logging, database, wanted)
    with in_front_of(mlflow.url) as proxy:
        proxy.plan = lambda request: Fault.HANG if is_for("model-versions/create")(request) else None
        behind = logging.model_copy(update={"mlflow_tracking_uri": proxy.address})
        with dispatching(behind, tmp_path) as dispatcher:
            eventually(lambda: proxy.hit)
            dispatcher.kill()
    (first,) = mlflow.runs(wanted["experiment"])
    assert mlflow.versions(wanted["registered_model"]) == []
    attempt(logging, finds=False)  # the lease of the killed dispatcher holds
    with database.begin() as session:
        session.execute(update(MlflowExport).values(next_attempt_at=datetime.now(UTC)))
    attempt(logging)
    (run,) = mlflow.runs(wanted["experiment"])
    (version,) = mlflow.versions(wanted["registered_model"])
    assert run["info"]["run_id"] == first["info"]["run_id"] == version["run_id"]
    assert seen(api, job_id)["attempts"] == 2


def test_a_deleted_job_is_not_logged(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 204
    attempt(logging)
    assert exports(database) == []
    assert (
        mlflow.post("experiments/search", max_results=1, filter=f"name = '{wanted['experiment']}'").get("experiments", []) == []
    )


def test_a_job_deleted_while_it_is_logged_leaves_nothing_due(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    with in_front_of(mlflow.url) as proxy:

        def plan(request: Request) -> None:
            if is_for("runs/update")(request):
                assert api.delete(f"/v1/jobs/{job_id}").status_code == 204

        proxy.plan = plan
        attempt(logging.model_copy(update={"mlflow_tracking_uri": proxy.address}))
    assert job_row(database, job_id).mlflow is None
    with database.begin() as session:
        session.execute(update(MlflowExport).values(next_attempt_at=datetime.now(UTC)))
    attempt(logging)
    assert exports(database) == []


def test_an_artifact_removed_before_it_was_logged_is_named(
    logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    job_id = ended_job(logging, database, wanted)
    set_job(database, job_id, artifact_removed_at=datetime.now(UTC))
    attempt(logging)
    assert (seen(api, job_id)["state"], seen(api, job_id)["error"]) == (
        "failed",
        "the artifact was removed before the job was logged",
    )


def test_two_dispatchers_log_every_job_once(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    jobs = [ended_job(logging, database, wanted) for _ in range(4)]

    def log_all() -> None:
        with closing(MlflowLogger(logging)) as logger:
            while exports(database):
                logger.log_next()

    threads = [threading.Thread(target=log_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs, versions = mlflow.runs(wanted["experiment"]), mlflow.versions(wanted["registered_model"])
    assert sorted(by_key(run["data"]["tags"])["dsnot.job_id"] for run in runs) == sorted(map(str, jobs))
    assert {version["run_id"] for version in versions} == {run["info"]["run_id"] for run in runs}
    assert len(versions) == len(jobs)
    assert all(seen(api, job_id)["state"] == "logged" for job_id in jobs)


def test_the_alias_of_a_later_version_does_not_move_back(
    mlflow: Mlflow, logging: Settings, database: Database, wanted: dict[str, Any]
) -> None:
    first = ended_job(logging, database, wanted)
    with in_front_of(mlflow.url) as proxy:
        proxy.plan = once("registered-models/alias", Fault.ERROR)
        attempt(logging.model_copy(update={"mlflow_tracking_uri": proxy.address}))
    with database.begin() as session:
        session.execute(update(MlflowExport).values(next_attempt_at=datetime(2100, 1, 1, tzinfo=UTC)))
    ended_job(logging, database, wanted)
    attempt(logging)
    with database.begin() as session:
        session.execute(update(MlflowExport).values(next_attempt_at=datetime.now(UTC)))
    attempt(logging)
    assert job_row(database, first).state == JobState.SUCCEEDED
    assert job_row(database, first).mlflow["version"] == "1"  # type: ignore[index]
    aliases = mlflow.get("registered-models/get", name=wanted["registered_model"])["registered_model"]["aliases"]
    assert aliases == [{"alias": "candidate", "version": "2"}]


def test_the_trigger_of_the_guide_makes_a_sparse_version_of_a_new_one_and_none_of_its_own(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "triggers.md").read_text()
    (body,) = [
        found for found in re.findall(r"^```json\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL) if "sparse versions" in found
    ]
    trigger = api.post("/v1/triggers", json=json.loads(body)).json()
    fire = f"/v1/triggers/{trigger['id']}/fire"
    event = MLFLOW | {"data": MLFLOW["data"] | {"name": wanted["registered_model"]}}
    made = api.post(fire, json=event)
    assert made.status_code == 201, made.text
    asked = api.get(made.headers["location"]).json()["spec"]["output"]["mlflow"]
    assert asked["registered_model"] == f"{wanted['registered_model']}-sparse"

    ended_job(logging, database, asked)
    attempt(logging)
    (version,) = mlflow.versions(asked["registered_model"])
    own = MLFLOW | {"data": {"name": version["name"], "version": version["version"], "tags": by_key(version["tags"])}}
    assert api.post(fire, json=own).json()["outcome"] == "filtered"


def test_a_silent_server_gets_a_pause_in_which_no_attempt_is_lost(
    mlflow: Mlflow, logging: Settings, database: Database, api: httpx.Client, wanted: dict[str, Any]
) -> None:
    jobs = [ended_job(logging, database, wanted) for _ in range(4)]
    with in_front_of(mlflow.url) as proxy:
        proxy.plan = lambda _: Fault.HANG
        changes = {"mlflow_tracking_uri": proxy.address, "mlflow_seconds": 2.0, "webhook_retry_seconds": (60.0,)}
        with closing(MlflowLogger(logging.model_copy(update=changes))) as logger:
            assert [logger.log_next() for _ in range(4)] == [True, True, True, False]
        assert proxy.hit == 3
    logs = [seen(api, job_id) for job_id in jobs]
    assert sorted(log["attempts"] for log in logs) == [0, 1, 1, 1]
    assert {log["error"] for log in logs} == {None, "MLflow gave no answer within 0.5 s"}
    assert {log["state"] for log in logs} == {"pending"}
