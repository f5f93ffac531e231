import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from service.contract.recipe.recipe import Recipe
from tests.support.matrix_reports import matrix_report
from worker.engine.output.journal import Finished, Journal, opened, run_key

REPORT = matrix_report("a.weight", (2, 3), sparsity=1 / 3, error_start=math.nan, error_mask=0.1 + 0.2, error=math.inf)


def finished(seed: int = 0) -> Finished:
    """A block in four types."""
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    types = {"a": torch.float32, "b": torch.bfloat16, "c": torch.float16, "d": torch.float8_e4m3fn}
    return Finished({name: values.to(dtype) for name, dtype in types.items()}, (REPORT,))


def kept(folder: Path, key: str = "key", block: int = 3) -> Path:
    """The file of a block that was kept."""
    with opened(Journal(folder)) as journal:
        assert journal
        journal.keep(block, finished(), key)
    (path,) = folder.iterdir()
    return path


def test_stored_blocks_are_restored_with_the_same_bits(tmp_path: Path) -> None:
    kept(tmp_path / "journal")
    found = Journal(tmp_path / "journal").find(3, "key")
    assert found is not None
    assert repr(found.reports) == repr((REPORT,))  # nan is not nan
    for name, tensor in finished().tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name].view(torch.uint8), tensor.view(torch.uint8))


def test_other_blocks_are_not_found(tmp_path: Path) -> None:
    path = kept(tmp_path)
    assert Journal(tmp_path).find(2, "key") is None
    assert path.exists()


def test_a_file_of_another_run_is_discarded(tmp_path: Path) -> None:
    path = kept(tmp_path)
    assert Journal(tmp_path).find(3, "another") is None
    assert not path.exists()


@pytest.mark.parametrize("seed", range(12))
def test_a_file_with_one_flipped_bit_is_discarded(tmp_path: Path, seed: int) -> None:
    path = kept(tmp_path)
    content = bytearray(path.read_bytes())
    source = random.Random(seed)
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(content)
    assert Journal(tmp_path).find(3, "key") is None
    assert not path.exists()


@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_a_truncated_file_is_discarded(tmp_path: Path, share: float) -> None:
    path = kept(tmp_path)
    os.truncate(path, int(path.stat().st_size * share))
    assert Journal(tmp_path).find(3, "key") is None


def test_the_valid_one_of_several_files_is_found(tmp_path: Path) -> None:
    path = kept(tmp_path)
    bad = path.with_name(f"0003-{'0' * 64}.safetensors")
    bad.write_bytes(path.read_bytes())
    assert Journal(tmp_path).find(3, "key") is not None
    assert not bad.exists()


def test_files_are_reported_once_complete(tmp_path: Path) -> None:
    told: list[tuple[Path, int]] = []
    with opened(Journal(tmp_path, lambda path: told.append((path, path.stat().st_size)))) as journal:
        assert journal
        for block in range(3):
            journal.keep(block, finished(block), "key")
    assert told == [(path, path.stat().st_size) for path in sorted(tmp_path.iterdir())]
    assert len(told) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_reported_and_leaves_no_partial_file(tmp_path: Path) -> None:
    whole, full = kept(tmp_path / "whole"), tmp_path / "full"
    full.mkdir()
    (full / whole.name).with_suffix(f".{os.getpid()}.part").symlink_to("/dev/full")
    journal = Journal(full)
    journal.keep(3, finished(), "key")
    with pytest.raises(OSError, match="No space left on device"):
        journal.keep(4, finished(), "key")
    journal.close()
    assert list(full.iterdir()) == []


def key(**change: Any) -> str:
    """The key of a run that differs from the usual one by this."""
    usual: dict[str, Any] = {
        "source": "hash",
        "recipe": Recipe.from_dict({}),
        "tokens": torch.arange(8).view(2, 4),
        "device": torch.device("cpu"),
        "tokens_per_batch": 2048,
    }
    return run_key(**(usual | change))


def test_runs_with_possibly_different_bits_have_different_keys() -> None:
    threads = torch.get_num_threads()
    keys = [
        key(),
        key(source="other"),
        key(tokens_per_batch=1024),
        key(recipe=Recipe.from_dict({"preset": "fast"})),
        key(recipe=Recipe.from_dict({"pattern": {"type": "unstructured", "sparsity": 0.6}})),
        key(tokens=torch.arange(8).view(4, 2)),
        key(tokens=torch.arange(8).view(2, 4).flip(0)),
    ]
    torch.set_num_threads(threads + 1)
    keys.append(key())
    torch.set_num_threads(threads)
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
