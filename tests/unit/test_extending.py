"""A new criterion, as CONTRIBUTING.md says: one enum member and one function, in a copy of the code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_MEMBER = '    SINGLE = "single", "The norm of the input alone."\n'
_FUNCTION = '''

@_computes(Criterion.SINGLE)
def single(weight: Tensor, norm: Tensor) -> Tensor:
    """Return ‖X_j‖₂ for every weight, (out, in)."""
    return norm.expand_as(weight)
'''
_SCRIPT = """
import json, sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from docs.generate import recipes as docs
from service.cli.__main__ import app
from service.contract.spec import JobSpec
from service.dashboard.choices import choices, fitting
from service.recipes.operations import describe
from tests.support.engine import families
from worker.engine import Recipe, sparsify

folder = Path(sys.argv[1])
source, target = families.save("llama", folder / "source"), folder / "target"
recipe = Recipe.from_dict({"criterion": "single", "refinement": {"method": "none"}})
sparsify(source, target, recipe, families.tokens(), device="cpu")
matrix = load_file(target / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
form = next(choice for choice in choices() if choice.pointer == "/recipe/criterion")
print(json.dumps({
    "listed": next(each.summary for each in describe().criteria if each.name == "single"),
    "accepted": JobSpec.model_validate({"model": {"id": "a"}, "recipe": {"criterion": "single"}}).recipe.criterion,
    "schema": json.dumps(JobSpec.model_json_schema()),
    "help": CliRunner().invoke(app, ["jobs", "submit", "--help"], env={"COLUMNS": "300"}).output,
    "form": [kind.name for kind in form.kinds],
    "combinations": len(fitting()),
    "docs": docs.page(),
    "zero columns": int((matrix == 0).all(dim=0).sum()),
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code with the criterion `single` added."""
    folder = tmp_path / "copy"
    for name in ("service", "worker", "docs/generate", "tests/support"):
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("docs", "tests"):
        shutil.copy(_ROOT / name / "__init__.py", folder / name)
    choices = folder / "service/contract/recipe/choices.py"
    choices.write_text(choices.read_text().replace("    MAGNITUDE =", f"{_MEMBER}    MAGNITUDE =", 1))
    with (folder / "worker/engine/methods/saliency.py").open("a") as saliency:
        saliency.write(_FUNCTION)
    return folder


def test_a_criterion_is_one_enum_member_and_one_function(copy: Path, tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", _SCRIPT, tmp_path], cwd=copy, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    seen: dict[str, Any] = json.loads(found.stdout)
    assert seen["listed"] == "The norm of the input alone."
    assert seen["accepted"] == "single"
    assert '"single"' in seen["schema"]
    assert "single|magnitude|" in seen["help"]
    assert "single" in seen["form"]
    assert "| `single` | The norm of the input alone. |" in seen["docs"]
    assert seen["zero columns"] == 32  # the same half of each row's 64 inputs
