"""A client that a generator makes out of the OpenAPI document is whole, compiles, and works."""

import compileall
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from tests.support.api_server import BODY
from tests.support.waiting import CEILING_SECONDS

CONFIGURATION = Path(__file__).parents[3] / "docs" / "reference" / "openapi-python-client.yaml"
PACKAGE = "generated_dsnot_client"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture
def generated(api: httpx.Client, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, made once from the running service's document without a single warning."""
    folder = place / PACKAGE
    if not folder.exists():
        generate(api, folder)
    monkeypatch.syspath_prepend(place)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def generate(api: httpx.Client, folder: Path) -> None:
    document = folder.with_suffix(".json")
    document.write_bytes(api.get("/openapi.json").content)
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [
            *(scripts / "openapi-python-client", "generate", "--fail-on-warning", "--meta", "none"),
            *("--path", document),
            *("--config", CONFIGURATION, "--output-path", folder),
        ],
        env=os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=CEILING_SECONDS,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said.lower(), said
    assert "skipping" not in said.lower(), said


def part(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_every_operation_is_generated_and_everything_compiles(api: httpx.Client, generated: Path) -> None:
    made = {file.stem for file in (generated / "api").rglob("*.py")} - {"__init__"}
    paths = api.get("/openapi.json").json()["paths"]
    assert made == {operation["operationId"] for methods in paths.values() for operation in methods.values()}
    assert compileall.compile_dir(generated, quiet=1)
    for name in sorted(made):
        tags = [folder.name for folder in (generated / "api").iterdir() if (folder / f"{name}.py").exists()]
        assert part(f"api.{tags[0]}.{name}").sync_detailed


def test_the_generated_client_creates_a_job_and_reads_it(api: httpx.Client, generated: Path) -> None:
    token = api.headers["authorization"].removeprefix("Bearer ")
    client = part("client").AuthenticatedClient(base_url=str(api.base_url), token=token, raise_on_unexpected_status=True)
    models = part("models")
    recipes = part("api.recipes.list_recipes").sync(client=client)
    assert "dsnot-paper" in [preset.name for preset in recipes.presets]
    spec = models.JobSpec(model=models.ModelSpec(id=BODY["model"]["id"]), recipe=models.Recipe.from_dict({"preset": "best"}))
    made = part("api.jobs.create_job").sync(client=client, body=spec)
    assert isinstance(made, models.JobView)
    found = part("api.jobs.get_job").sync(made.id, client=client)
    assert (found.id, found.state) == (made.id, models.JobState.QUEUED)
    recipe = found.spec["recipe"]
    assert (recipe["preset"], recipe["objective"], recipe["update"]["method"]) == ("best", "propagated", "admm")
    refused = part("api.jobs.delete_job").sync(made.id, client=client)
    assert isinstance(refused, models.ProblemView)
    assert refused.status == 409


def test_the_generated_client_uploads_and_fires_a_trigger(api: httpx.Client, generated: Path) -> None:
    token = api.headers["authorization"].removeprefix("Bearer ")
    client = part("client").AuthenticatedClient(base_url=str(api.base_url), token=token, raise_on_unexpected_status=True)
    models, types = part("models"), part("types")
    lines = types.File(payload=b'{"text": "One."}\n{"text": "Two."}\n')
    assert part("api.datasets.upload_dataset").sync(client=client, body=lines, name="tickets").documents == 2
    template = models.NewTriggerTemplate.from_dict({"model": {"id": "${{ data.model }}"}})
    trigger = part("api.triggers.create_trigger").sync(client=client, body=models.NewTrigger(name="nightly", template=template))
    answer = api.post(f"/v1/triggers/{trigger.id}/fire", json={"id": "1", "model": BODY["model"]["id"]})
    assert answer.status_code == 201
    [firing] = part("api.triggers.list_firings").sync(trigger.id, client=client).items
    assert str(firing.id) == answer.json()["id"]
