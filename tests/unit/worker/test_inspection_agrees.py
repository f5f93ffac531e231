"""Unusual checkpoint folders: service and worker accept and refuse the same, for the same reason."""

import shutil
from pathlib import Path

import pytest

from service.models.outline import ModelOutline
from tests.support.altered_checkpoints import read_shard, said_by_service, said_by_worker, write_shard
from tests.support.engine import families
from worker import engine
from worker.engine import Recipe, sparsify

SINGLE = "model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.save("llama", tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A plain llama."""
    return Path(shutil.copytree(made, tmp_path / "model"))


def accepted(folder: Path) -> None:
    """Check that service and worker describe the same model."""
    told, built = said_by_service(folder), said_by_worker(folder)
    assert isinstance(told, ModelOutline), told
    assert isinstance(built, engine.Outline), built
    assert (told.parameters, told.prunable_parameters, told.dtype) == (built.parameters, built.prunable_parameters, built.dtype)


def refused(folder: Path, *words: str) -> None:
    """Check that service and worker refuse the model, both with these words."""
    for reason in (said_by_service(folder), said_by_worker(folder)):
        assert isinstance(reason, str)
        assert all(word in reason for word in words), reason
        assert len(reason) < 400


def pruned(folder: Path) -> Path:
    target = folder.with_name("pruned")
    sparsify(folder, target, Recipe.from_dict({"criterion": "magnitude", "refinement": {"method": "none"}}), families.tokens())
    return target


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("U16", [3], 6),
        ("U32", [3], 12),
        ("U64", [3], 24),
        ("C64", [3], 24),
        ("F8_E8M0", [3], 3),
        ("F8_E4M3FNUZ", [3], 3),
        ("F6_E2M3", [4], 3),
        ("F6_E3M2", [4], 3),
        ("F4", [4, 2], 4),
    ],
)
def test_a_further_tensor_of_any_number_type_is_copied_byte_for_byte(
    folder: Path, dtype: str, shape: list[int], size: int
) -> None:
    extra = (dtype, shape, bytes(range(1, size + 1)))
    write_shard(folder / SINGLE, {"extra": extra, **read_shard(folder / SINGLE)})
    accepted(folder)
    assert read_shard(pruned(folder) / SINGLE)["extra"] == extra


@pytest.mark.parametrize(("dtype", "size"), [("F31", 8), ("U32", 12), ("F4", 8), ("F4", 4)])
def test_an_unknown_number_type_or_a_wrong_size_is_refused_by_name(folder: Path, dtype: str, size: int) -> None:
    write_shard(folder / SINGLE, {**read_shard(folder / SINGLE), "extra": (dtype, [2], bytes(size))})
    refused(folder, SINGLE, "extra")
