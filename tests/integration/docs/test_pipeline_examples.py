"""The examples for pipelines do what they say: each is run against a real service, with a worker that prunes."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import BODY, client, insert_job, key_for, serving
from tests.support.threads import worker_thread
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
PROGRAMS = Path(sys.executable).parent
JOB: dict[str, Any] = {
    "model": {"source": "local", "id": "tiny"},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 16},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 16, "max_windows": 2},
}
HOPELESS = JOB | {"calibration": {"dataset": "c4-sample:test", "num_samples": 60_000, "sequence_length": 512}}
"""It is accepted, and fails because there is not so much text."""


@pytest.fixture
def service(settings: Settings, database: Database, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a pipeline beside a service with dispatcher and worker."""
    save_model(settings.model_root / "tiny")
    with serving(settings) as url, worker_thread(settings):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("DSNOT_")}
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        yield plain | {"DSNOT_URL": url, "DSNOT_API_KEY": key_for(database, Scope.ADMIN), "RUN_ID": "run-1", "PATH": path}


def bash(script: str, environment: Mapping[str, str], folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["bash", "-c", script, "script", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def prune(environment: Mapping[str, str], folder: Path, job: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
    (folder / "job.json").write_text(json.dumps(job))
    return bash('exec "$@"', environment, folder, str(EXAMPLES / "prune.sh"), "job.json", "pruned")


def jobs(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    with client(environment["DSNOT_URL"], environment["DSNOT_API_KEY"]) as api:
        found: list[dict[str, Any]] = api.get("/v1/jobs").json()["items"]
        return found


def assert_pruned(folder: Path, environment: Mapping[str, str]) -> None:
    """The folder holds what the only job has made."""
    (job,) = jobs(environment)
    with client(environment["DSNOT_URL"], environment["DSNOT_API_KEY"]) as api:
        manifest = api.get(f"/v1/jobs/{job['id']}/artifacts").json()
    promised = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert "model.safetensors" in promised
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found.pop("manifest.json", None)  # the command keeps it, for `dsnot artifacts verify`
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()} == promised


def test_running_the_script_twice_prunes_once(service: dict[str, str], tmp_path: Path) -> None:
    done = [prune(service, tmp_path, JOB) for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0], done
    assert_pruned(tmp_path / "pruned", service)
    assert json.loads(done[0].stdout)["metrics"]["perplexity"]
    failed = prune(service | {"RUN_ID": "run-2"}, tmp_path, HOPELESS)
    assert failed.returncode == 1
    assert re.search(r"job [0-9a-f-]{36} has failed: .*samples", failed.stderr), failed.stderr
    refused = prune(service | {"RUN_ID": "run-3"}, tmp_path, JOB | {"priority": 99})
    assert refused.returncode == 1
    assert "/priority" in refused.stderr


def test_the_script_never_shows_the_key_and_needs_every_variable(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DSNOT_URL": "http://127.0.0.1:9", "DSNOT_API_KEY": "dsnot_planted", "RUN_ID": "1"}
    (tmp_path / "curl").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv, file=sys.stderr)\nsys.exit(7)\n")
    (tmp_path / "curl").chmod(0o755)
    watched = environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = prune(watched, tmp_path, JOB)
    assert done.returncode == 1
    assert "/v1/jobs" in done.stderr
    assert "dsnot_planted" not in done.stdout + done.stderr
    for name in ("DSNOT_URL", "DSNOT_API_KEY", "RUN_ID"):
        done = prune({other: value for other, value in environment.items() if other != name}, tmp_path, JOB)
        assert (done.returncode, name in done.stderr) == (1, True)


def test_a_file_that_differs_from_the_manifest_fails_the_script(settings: Settings, database: Database, tmp_path: Path) -> None:
    job_id = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix="jobs/x/1")
    folder = Path(settings.artifact_url.removeprefix("file://")) / "jobs/x/1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = [{"path": "config.json", "bytes": 2, "sha256": "0" * 64}]
    (folder / "manifest.json").write_text(json.dumps({"job_id": str(job_id), "fence": 1, "files": files}))
    key = key_for(database, Scope.ADMIN)
    with serving(settings) as url, client(url, key) as api:
        made = api.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "k"}).json()["id"]
        with database.engine.begin() as connection:  # so that the script's own job is the one that has succeeded
            connection.exec_driver_sql("UPDATE idempotency_keys SET body = replace(body, %s, %s)", (made, str(job_id)))
        environment = dict(os.environ) | {"DSNOT_URL": url, "DSNOT_API_KEY": key, "RUN_ID": "k"}
        done = prune(environment, tmp_path, BODY)
    assert done.returncode != 0
    assert "config.json: FAILED" in done.stdout + done.stderr


def test_the_github_workflow_is_valid_and_its_steps_work(service: dict[str, str], tmp_path: Path) -> None:
    file = EXAMPLES / "github-actions.yml"
    check = [str(PROGRAMS / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(file)]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    workflow = yaml.safe_load(file.read_text())
    (job,) = workflow["jobs"].values()
    known = {
        "vars.DSNOT_URL": service["DSNOT_URL"],
        "secrets.DSNOT_API_KEY": service["DSNOT_API_KEY"],
        "github.repository": "org/repository",
        "github.run_id": "4711",
        "github.run_attempt": "1",
    }
    environment = service | {name: filled(value, known) for name, value in job["env"].items()}
    environment |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    (tmp_path / "prune.sh").symlink_to(EXAMPLES / "prune.sh")
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    done = [bash(f"set -eo pipefail\n{script}", environment, tmp_path) for script in scripts]  # as the runner starts bash
    assert [each.returncode for each in done] == [0] * len(scripts), done
    assert "warnings" in json.loads(done[0].stdout)
    assert "perplexity" in (tmp_path / "summary").read_text()
    (upload,) = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert_pruned(tmp_path / upload["path"], service)
    (tmp_path / "job.json").write_text(json.dumps(HOPELESS))
    failed = bash(f"set -eo pipefail\n{scripts[-1]}", environment | {"RUN_ID": "another"}, tmp_path)
    assert failed.returncode != 0


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its `{{ … }}`, of GitHub or of Argo, in place."""
    return re.sub(r"\$?{{\s*(.*?)\s*}}", lambda found: values[found[1]], text)


def test_the_argo_workflow_works(service: dict[str, str], tmp_path: Path) -> None:
    workflow = yaml.safe_load((EXAMPLES / "argo-workflow.yaml").read_text())
    assert (workflow["apiVersion"], workflow["kind"]) == ("argoproj.io/v1alpha1", "Workflow")
    templates = {template["name"]: template for template in workflow["spec"]["templates"]}
    assert workflow["spec"]["entrypoint"] in templates
    known = {"workflow.uid": "0f1e", "workflow.parameters.job": json.dumps(JOB)}
    first = script_of(templates["prune"], service, known)
    pruned = [bash(*first, tmp_path) for _ in range(2)]  # as after the loss of a pod
    assert [each.returncode for each in pruned] == [0, 0], pruned
    (job,) = jobs(service)
    assert [each.stdout.strip() for each in pruned] == [job["id"]] * 2
    script, environment = script_of(templates["download"], service, {"inputs.parameters.job-id": job["id"]})
    (artifact,) = templates["download"]["outputs"]["artifacts"]
    assert environment["FOLDER"] == artifact["path"]
    done = bash(script, environment | {"FOLDER": str(tmp_path / "pruned")}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert_pruned(tmp_path / "pruned", service)
    hopeless = {"workflow.uid": "2d3c", "workflow.parameters.job": json.dumps(HOPELESS)}
    assert bash(*script_of(templates["prune"], service, hopeless), tmp_path).returncode != 0


def script_of(template: Mapping[str, Any], service: Mapping[str, str], values: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The script of a template, which bash can read, and its environment; where it asks for secrets, it gets the key."""
    script = template["script"]
    assert script["command"] == ["bash"]
    assert "{{" not in script["source"], "what is filled in goes by the environment, never into the text of a script"
    subprocess.run(["bash", "-n"], input=script["source"], text=True, check=True)
    own = {entry["name"]: filled(entry["value"], values) for entry in script["env"] if "value" in entry}
    secret = {entry["name"]: service["DSNOT_API_KEY"] for entry in script["env"] if "secretKeyRef" in entry.get("valueFrom", {})}
    assert set(secret) == {"DSNOT_API_KEY"}
    return script["source"], {**service, **own, **secret, "DSNOT_URL": service["DSNOT_URL"]}


def loaded(name: str, monkeypatch: pytest.MonkeyPatch, standing_in: Mapping[str, Any]) -> ModuleType:
    """An example, with modules that are not installed stood in for: their decorators do nothing."""
    for other, content in standing_in.items():
        monkeypatch.setitem(sys.modules, other, content)
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Task:
    """What Airflow makes of a function: calling it plans, and runs nothing."""

    planned: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012  # emptied by the test

    def __call__(self, function: Callable[..., Any], **options: Any) -> Callable[..., "_Task"]:
        self.planned.append((function.__name__, options))
        return lambda *_arguments: self

    def sensor(self, **options: Any) -> Callable[..., Callable[..., "_Task"]]:
        return lambda function: self(function, **options)

    def __rshift__(self, other: object) -> object:
        return other


class AirflowFailException(Exception):  # Airflow's name
    """What ends a run without another try."""


def test_the_airflow_dag_works(service: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = _Task()
    task.planned.clear()
    sdk = SimpleNamespace(dag=lambda **_options: lambda function: function, task=task)
    exceptions = SimpleNamespace(AirflowFailException=AirflowFailException)
    module = loaded(
        "airflow_dag", monkeypatch, {"airflow": SimpleNamespace(), "airflow.sdk": sdk, "airflow.sdk.exceptions": exceptions}
    )
    assert [name for name, _ in task.planned] == ["ask", "has_succeeded", "fetch"]
    monkeypatch.setenv("DSNOT_URL", service["DSNOT_URL"])
    monkeypatch.setenv("DSNOT_API_KEY", service["DSNOT_API_KEY"])
    monkeypatch.setattr(module, "FOLDER", tmp_path / "pruned")
    made = [module.ask(params={"job": JOB}, run_id="manual__2026-01-31T12:00:00+00:00") for _ in range(2)]
    assert made[0] == made[1]
    eventually(lambda: module.has_succeeded(made[0]))
    assert_pruned(Path(module.fetch(made[0])), service)
    hopeless = module.ask(params={"job": HOPELESS}, run_id="manual__2")
    with pytest.raises(AirflowFailException, match=f"job {hopeless} has failed: .*samples"):
        eventually(lambda: module.has_succeeded(hopeless))


def test_the_kubeflow_component_works(service: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsl = SimpleNamespace(
        Output=list,
        Model=object,
        PIPELINE_JOB_ID_PLACEHOLDER="{{$.pipeline_job_uuid}}",
        component=lambda function, **_options: function,
        pipeline=lambda **_options: lambda function: function,
    )
    stand_in = SimpleNamespace(dsl=dsl, kubernetes=SimpleNamespace())
    module = loaded("kubeflow_pipeline", monkeypatch, {"kfp": stand_in})
    monkeypatch.setenv("DSNOT_URL", service["DSNOT_URL"])
    monkeypatch.setenv("DSNOT_API_KEY", service["DSNOT_API_KEY"])
    model = SimpleNamespace(path=str(tmp_path / "pruned"), metadata={})
    for _ in range(2):
        module.component(JOB, "run-1", model)
    assert_pruned(tmp_path / "pruned", service)
    assert model.metadata["metrics"]["pruned"]["perplexity"]
    with pytest.raises(RuntimeError, match=r"has failed: .*samples"):
        module.component(HOPELESS, "run-2", model)
