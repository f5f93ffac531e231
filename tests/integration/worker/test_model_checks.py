"""Checks of models by workers: what inspection, plans and creation say is what a worker will say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from service.contract.devices import DeviceClass
from service.contract.model_checks import ModelCheck
from service.contract.model_spec import ModelSpec
from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.model_checks import ModelCheckRow
from service.database.tables.workers import Worker
from service.models.checks import repository
from service.models.checks.operations import ModelChecks, NotChecked, RecordedFiles
from service.models.folder import FolderFiles
from service.settings import Settings
from service.workers.repository import Identity, Usage, seen
from tests.support.api_server import client, key_for, problem, serving
from tests.support.job_rows import job_row
from tests.support.long_jobs import end_job, insert_endless_job, wait_until_it_prunes
from tests.support.processes import working
from tests.support.threads import dispatcher_threads
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS
from worker.process import limited_child
from worker.process.limited_child import Limits
from worker.process.model_checks import ModelChecker, look_seconds

IDENTITY = Identity("w", "host", DeviceClass.CPU, "a processor", None, 1 << 40, {})


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings of a service that waits for workers."""
    return settings.model_copy(update={"model_check_seconds": CEILING_SECONDS})


@pytest.fixture
def api(patient: Settings, database: Database) -> Iterator[httpx.Client]:
    with serving(patient) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        yield api


@pytest.mark.parametrize("workers", [0, 1, 5, 10, 50, 100, 200, 1000])
def test_many_workers_look_for_checks_no_more_often_together_and_each_before_the_service_gives_up(
    workers: int,
) -> None:
    seconds = look_seconds(workers)
    assert 1 <= 1.2 * seconds < Settings.model_fields["model_check_seconds"].default
    assert workers / seconds <= max(10, workers / 10)


@contextmanager
def checking(settings: Settings, database: Database) -> Iterator[None]:
    """A worker that checks models, and takes no jobs."""
    with database.begin() as session:
        seen(session, IDENTITY, Usage(1, 1 << 40))
    with ModelChecker(settings):
        yield
    with database.begin() as session:
        session.execute(update(Worker).values(stopped_at=func.now()))


def body(name: str, **parts: Any) -> dict[str, Any]:
    return {
        "model": {"source": "local", "id": name},
        "calibration": {"dataset": "c4-sample", "num_samples": 2, "sequence_length": 16},
        "evaluation": {"perplexity": [], "sequence_length": 16},
    } | parts


def inspected(api: httpx.Client, name: str) -> dict[str, Any]:
    answer = api.get("/v1/models/inspect", params={"source": "local", "id": name})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def save(settings: Settings, name: str, **config: Any) -> None:
    """A tiny Llama whose config is changed afterwards; None removes a key."""
    folder = settings.model_root / name
    save_model(folder)
    known = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({key: value for key, value in known.items() if value is not None}))


def test_without_a_worker_inspection_says_what_it_did_not_check(api: httpx.Client, patient: Settings) -> None:
    save(patient, "tiny")
    found = inspected(api, "tiny")
    assert (found["can_be_pruned"], found["is_checked"]) == (True, False)
    assert "No worker is online, so the model was not built" in " ".join(found["warnings"])
    assert api.post("/v1/jobs", json=body("tiny")).status_code == 201


def test_an_answer_is_kept_until_the_model_changes(api: httpx.Client, patient: Settings, database: Database) -> None:
    save(patient, "tiny")
    before = inspected(api, "tiny")
    with checking(patient, database):
        checked = inspected(api, "tiny")
    for found in (before, checked):
        found["matrices"].sort(key=lambda kind: kind["name"])
    assert checked == before | {"is_checked": True, "warnings": []}
    assert inspected(api, "tiny")["is_checked"]  # nobody is online any more
    (patient.model_root / "tiny" / "config.json").write_text("{}")
    assert not inspected(api, "tiny")["is_checked"]


@pytest.mark.parametrize(
    ("config", "kind", "reason"),
    [
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "architecture-unsupported", "no tensor for any matrix"),
        ({"intermediate_size": 32}, "model-unsafe", "needs (32, 32)"),
        ({"hidden_act": "no such function"}, "architecture-unsupported", "cannot be built from its config"),
    ],
)
def test_what_a_worker_refuses_is_refused_at_once(
    api: httpx.Client, patient: Settings, database: Database, config: dict[str, Any], kind: str, reason: str
) -> None:
    save(patient, "odd", **config)
    assert api.post("/v1/jobs", json=body("odd")).status_code == 201  # nobody knows it yet
    with checking(patient, database):
        found = inspected(api, "odd")
    assert (found["can_be_pruned"], found["is_checked"]) == (False, True)
    assert reason in found["why_not"]
    for only_plan in (True, False):
        refused = api.post("/v1/jobs", json=body("odd"), params={"validate_only": only_plan})
        assert problem(refused) == (422, kind, ["/model/id"])
        assert refused.json()["detail"] == found["why_not"]


def test_the_length_that_a_model_takes_is_measured(api: httpx.Client, patient: Settings, database: Database) -> None:
    save(patient, "tiny", max_position_embeddings=None)  # the class has a default of its own
    long = {"dataset": "c4-sample", "num_samples": 1, "sequence_length": 4096}
    assert inspected(api, "tiny")["max_sequence_length"] is None
    with checking(patient, database):
        assert inspected(api, "tiny")["max_sequence_length"] == 2048
    refused = api.post("/v1/jobs", json=body("tiny", calibration=long))
    assert problem(refused) == (422, "invalid-input", ["/calibration/sequence_length"])


def test_a_model_that_takes_too_much_to_build_is_refused(
    api: httpx.Client, patient: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_child, "Limits", partial(Limits, memory=1 << 28))
    save(patient, "bomb", num_labels=200_000_000)
    with checking(patient, database):
        found = inspected(api, "bomb")
    assert not found["can_be_pruned"]
    assert "takes more than" in found["why_not"]


def test_a_worker_checks_while_it_runs_a_job(api: httpx.Client, patient: Settings, database: Database, tmp_path: Path) -> None:
    save(patient, "tiny")
    job_id = insert_endless_job(patient, database)
    with dispatcher_threads(patient), working(patient, tmp_path):
        wait_until_it_prunes(database, job_id)
        assert inspected(api, "tiny")["is_checked"]
        assert job_row(database, job_id).state == "running"
        end_job(database, job_id)


def test_nobody_learns_of_the_models_of_others(patient: Settings, database: Database) -> None:
    """Two tenants ask for the same commit: the second may have no right to read it."""

    save(patient, "tiny")
    model = ModelSpec(id="org/model", revision="a" * 40)
    checks = ModelChecks(database, wait_seconds=0, silent_seconds=60)
    with database.begin() as session:
        seen(session, IDENTITY, Usage(1, 1))
    files = RecordedFiles(FolderFiles(patient.model_root / "tiny"))
    files.read("config.json", 0, 100)
    with pytest.raises(NotChecked):
        checks.ask(model, files, tenant="acme")
    with database.begin() as session:
        question = repository.take(session)
        assert question is not None
        repository.answer(session, question.key, ModelCheck())
    assert checks.known(model, None, tenant="acme") == ModelCheck()
    assert checks.known(model, None, tenant="other") is None


def test_questions_that_nobody_waits_for_are_neither_answered_nor_kept(database: Database) -> None:
    with database.begin() as session:
        for key in ("old", "new"):
            repository.ask(session, key, b"")
        session.execute(
            update(ModelCheckRow)
            .where(ModelCheckRow.key == "old")
            .values(asked_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 2))
        )
    with database.begin() as session:
        taken = repository.take(session)
        assert taken is not None
        assert taken.key == "new"
        assert repository.take(session) is None
        assert repository.forget(session) == 1
        assert session.scalars(select(ModelCheckRow.key)).all() == ["new"]
