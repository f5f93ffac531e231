"""The service against its own OpenAPI document, by schemathesis: all its checks, and chains of calls.

The number of requests per operation is fixed, so that a slow machine tests as much as a fast one.
`make fuzz` runs for FUZZ_SECONDS instead, ten minutes, from another FUZZ_SEED each time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import TERMINAL_STATES, JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, serving
from tests.support.dataset_uploads import upload
from tests.support.download_hub import TinyHub
from tests.support.openapi_document import document_of
from tests.support.size import sized
from tests.support.sweep_points import dispatch, end_job
from tests.support.tiny_model import save_model

EXAMPLES = sized(3, 16)
"""Generated requests per operation and phase."""
SECONDS = os.environ.get("FUZZ_SECONDS")
SEED = int(os.environ.get("FUZZ_SEED", "1"))
_ROOT = Path(__file__).parents[3]
_STATES = (JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)
_SPEC = JobSpec.model_validate(BODY | {"output": {"mlflow": {}}}).stored()
_OBJECTS = 36
_RUNS_AGAIN = 3
_KEPT = 24
"""So many of them are never asked to be deleted."""


@pytest.fixture
def hub(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that has the models of the document's examples, for texts as long as the defaults; and a folder with one."""
    model = save_model(settings.model_root / "tiny")
    config = json.loads((model / "config.json").read_bytes()) | {"max_position_embeddings": 1_048_576}
    (model / "config.json").write_text(json.dumps(config))
    (settings.model_root / "SmolLM2-135M-Instruct").symlink_to(model)
    with TinyHub() as started:
        template = f"{started.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", started.address)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        for name in ("meta-llama/Llama-3.1-8B", "facebook/opt-125m"):
            started.add(name, model, {})
        yield


@pytest.fixture
def fuzzed(settings: Settings, hub: None, tmp_path: Path) -> Iterator[str]:
    """The address of a service that asks the hub, has an MLflow server and a token of each name in the examples, and room."""
    for tenant in ("acme", "globex"):
        (tmp_path / "tokens" / tenant).mkdir(parents=True)
        (tmp_path / "tokens" / tenant / "research").write_text("hf_token\n")
    roomy = {"max_queued_jobs": 10**6, "max_triggers": 10**6, "max_webhooks": 10**6}
    asked = {"hub_from_service": True, "hub_tokens_dir": tmp_path / "tokens", "mlflow_tracking_uri": "http://mlflow.example"}
    with serving(settings.model_copy(update=roomy | asked)) as url:
        yield url


def published(settings: Settings, job_id: UUID) -> None:
    """The artifact of a job that has succeeded."""
    folder = Path(settings.artifact_url.removeprefix("file://")) / "jobs" / str(job_id) / "1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = [{"path": "config.json", "bytes": 2, "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]
    (folder / "manifest.json").write_text(json.dumps({"job_id": str(job_id), "fence": 1, "files": files}))


def sweep_in(state: JobState, api: httpx.Client, database: Database, settings: Settings) -> str:
    """A sweep of one job with this state."""
    made = api.post("/v1/sweeps", json={"template": BODY, "axes": {"/recipe/preset": ["fast"]}}).json()
    if state == JobState.PAUSED:
        api.post(f"/v1/sweeps/{made['id']}/pause")
    if state in TERMINAL_STATES:
        end_job(database, UUID(made["table"][0]["job_id"]), state=state)
        dispatch(database, settings)
    return str(made["id"])


def things(api: httpx.Client, database: Database, settings: Settings) -> Iterator[dict[str, str]]:
    """Objects of the tenant, for the parameters of every path."""
    webhooks = [api.post("/v1/webhooks", json={"url": f"https://sink.example/{n}"}).json()["id"] for n in range(12)]
    for number in range(_OBJECTS):
        state = _STATES[number % len(_STATES)]
        job_id = insert_job(database, state=state, spec=_SPEC)
        if state == JobState.SUCCEEDED:
            published(settings, job_id)
            with database.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE jobs SET artifact_prefix = %s WHERE id = %s", (f"jobs/{job_id}/1", job_id))
        webhook = webhooks[number % 8 if number < _KEPT else 8 + number % 4]
        trigger = api.post("/v1/triggers", json={"name": f"trigger {number}", "template": BODY}).json()["id"]
        yield {
            "may_go": str(number >= _KEPT),
            "state": state,
            "job_id": str(job_id),
            "path": "config.json",
            "webhook_id": webhook,
            "delivery_id": api.post(f"/v1/webhooks/{webhook}/test").json()["id"],
            "dataset_id": upload(api, f"Text number {number}.")["id"],
            "trigger_id": trigger,
            "sweep_id": sweep_in(state, api, database, settings),
            "key_id": key_for(database, Scope.JOBS_READ).split("_")[1],
            "firing_id": api.post(f"/v1/triggers/{trigger}/fire", json={"id": "run"}).json()["id"],
        }


@contextmanager
def prepared(url: str, database: Database, settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    """The environment that schemathesis needs."""
    keys = {tenant: key_for(database, Scope.ADMIN, tenant=tenant) for tenant in ("acme", "globex")}
    headers = {tenant: [{"name": "Authorization", "value": f"Bearer {key}"}] for tenant, key in keys.items()}
    (folder / "keys.json").write_text(
        json.dumps({"auth": [{"name": name, "fixedHeaders": each} for name, each in headers.items()]})
    )
    with client(url, keys["acme"]) as api:
        (folder / "objects.json").write_text(json.dumps(list(things(api, database, settings))))
    with database.engine.begin() as connection:  # what is on its way cannot be sent again
        connection.exec_driver_sql("UPDATE webhook_deliveries SET state = 'delivered'")
    yield dict(os.environ) | {
        "FUZZ_KEYS": str(folder / "keys.json"),
        "FUZZ_OBJECTS": str(folder / "objects.json"),
        "FUZZ_OWN_KEYS": " ".join(key.split("_")[1] for key in keys.values()),
        "FUZZ_SEEN": str(folder / "seen.txt"),
        "PYTHONPATH": str(_ROOT),
    }


def run_schemathesis(url: str, environment: dict[str, str], folder: Path, *, seed: int = SEED, only: Iterable[str] = ()) -> None:
    """Run it; it must find nothing. `only`: labels of operations, by default all."""
    config = Path(__file__).with_name("fuzz.toml")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json"]
    options = [
        f"--max-time={SECONDS}" if SECONDS else f"--max-examples={EXAMPLES}",
        f"--seed={seed}",
        *(f"--include-path={label.partition(' ')[2]}" for label in sorted(only)),
        "--no-color",
        "--report=json",
        f"--report-json-path={folder}/report.json",
    ]
    done = subprocess.run([*command, *options], env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


def answered_well(folder: Path) -> set[str]:
    """Return the labels of the operations that did what they are for at least once."""
    seen = [line.split(" ", 1) for line in (folder / "seen.txt").read_text().splitlines()]
    return {label for status, label in seen if status[0] in "23"}


@pytest.mark.timeout(1800)
def test_the_service_conforms_to_its_openapi_document(
    fuzzed: str, settings: Settings, database: Database, tmp_path: Path
) -> None:
    with prepared(fuzzed, database, settings, tmp_path) as environment:
        with client(fuzzed, None) as api:
            every = {f"{method.upper()} {path}" for path, found in document_of(api)["paths"].items() for method in found}
        run_schemathesis(fuzzed, environment, tmp_path)
        for again in range(1, _RUNS_AGAIN + 1):  # which object a request meets is chance, and some allow an operation once
            if missing := every - answered_well(tmp_path):
                run_schemathesis(fuzzed, environment, tmp_path, seed=SEED + again, only=missing)
    assert every - answered_well(tmp_path) == set(), "these were never asked for what they do"
