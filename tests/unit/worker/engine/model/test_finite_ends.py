"""NaN and infinite weights in embeddings and head, of rows that texts use and of others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.engine import families
from worker.engine import Recipe, sparsify
from worker.engine.errors import NumericalFailure
from worker.engine.model.finite_ends import check_ends

EMBEDDINGS = "model.embed_tokens.weight"


@pytest.fixture(params=["llama", "llama_tied"])
def folder(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint(request.param), tmp_path / request.param))


def spoil(folder: Path, tensor: str, row: int, value: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors[tensor][row, 3] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def test_a_row_of_the_head_makes_every_perplexity_nan(folder: Path) -> None:
    tied = folder.name == "llama_tied"
    spoil(folder, EMBEDDINGS if tied else "lm_head.weight", 90, torch.inf)
    tokens = torch.arange(3, 80)
    check_ends(folder, tokens, with_head=False)
    with pytest.raises(NumericalFailure, match=r"row 90\).*perplexity"):
        check_ends(folder, tokens, with_head=True)


def test_a_row_of_the_embeddings_matters_if_its_token_is_used(folder: Path) -> None:
    spoil(folder, EMBEDDINGS, 1, torch.nan)
    check_ends(folder, families.tokens(), with_head=False)
    with pytest.raises(NumericalFailure, match=r"embed_tokens.*1 rows .*row 1\)"):
        check_ends(folder, torch.tensor([[0, 1]]), with_head=False)


def test_a_model_is_pruned_with_rows_that_no_token_uses(folder: Path) -> None:
    spoil(folder, EMBEDDINGS, 1, torch.nan)
    report = sparsify(folder, folder.with_name("pruned"), Recipe.from_dict({"criterion": "wanda"}), families.tokens())
    assert report.sparsity == pytest.approx(0.5, abs=0.01)


def test_sound_ends_pass(folder: Path) -> None:
    check_ends(folder, families.tokens(), with_head=True)
