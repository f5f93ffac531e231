"""The notebooks of the documentation run from top to bottom on a real service with a real worker."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import key_for, serving
from tests.support.threads import dispatcher_threads, worker_thread
from tests.support.tiny_model import save_model

NOTEBOOKS = Path(__file__).parents[3] / "docs" / "notebooks"
FILES = sorted(NOTEBOOKS.glob("*.ipynb"), key=lambda file: file.name)


def code_of(file: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def here(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_model(settings.model_root / "SmolLM2-135M-Instruct")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(file: Path, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with worker_thread(settings), dispatcher_threads(settings), serving(settings) as url:
        monkeypatch.setenv("DSNOT_URL", url)
        monkeypatch.setenv("DSNOT_API_KEY", key_for(database, Scope.ADMIN))
        for code in code_of(file):
            exec(compile(code, file.name, "exec"), names)  # noqa: S102
        names["client"].close()
    return names


def test_the_first_pruned_model_is_downloaded(
    settings: Settings, database: Database, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run(NOTEBOOKS / "first-pruned-model.ipynb", settings, database, monkeypatch)
    assert names["job"].state == "succeeded"
    assert len(names["layers"]) == 14
    assert (here / "pruned" / "model.safetensors").is_file()


def test_a_sparsity_is_chosen(settings: Settings, database: Database, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(NOTEBOOKS / "choose-a-sparsity.ipynb", settings, database, monkeypatch)
    assert names["table"].shape == (2, 2)
    assert names["answer"].search.end is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_notebooks_are_stored_without_outputs(file: Path) -> None:
    cells = json.loads(file.read_text())["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
