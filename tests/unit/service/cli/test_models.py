"""`dsnot models import`: options that reach the worker's importer."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import models


@pytest.mark.parametrize(("given", "passed"), [([], ()), (["--dequantize"], ("--dequantize",))])
def test_dequantize_is_passed_to_the_importer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: list[str], passed: tuple[str, ...]
) -> None:
    calls: list[Any] = []
    monkeypatch.setenv("DSNOT_MODEL_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(models, "import_model", lambda *arguments: calls.append(arguments))
    done = CliRunner().invoke(models.app, ["import", str(tmp_path), "--name", "tiny", *given])
    assert done.exit_code == 0, done.output
    assert calls == [(tmp_path, tmp_path / "root" / "tiny", *passed)]
