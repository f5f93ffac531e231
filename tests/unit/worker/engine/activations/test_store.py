import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.engine import families
from worker.engine import Recipe, sparsify
from worker.engine.activations.store import ActivationStore, free_memory


@pytest.mark.parametrize("room", [0, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64], ids=str)
def test_stored_tensors_are_copies(tmp_path: Path, dtype: torch.dtype, room: int) -> None:
    store, x = ActivationStore(room=room, scratch=tmp_path), torch.randn(3, 5, 7).mul(100).to(dtype).transpose(0, 2)
    kept = store.put(x)
    before = x.clone()
    x.zero_()
    assert kept.dtype == dtype
    assert torch.equal(kept, before)


def test_memory_is_reused_by_tensors_of_equal_size_only() -> None:
    store = ActivationStore(room=10**9)
    first = store.put(torch.ones(8, 4))
    place = first.data_ptr()
    store.release([first])
    other = store.put(torch.zeros(4, 8))
    again = store.put(torch.zeros(8, 4))
    assert (again.data_ptr(), other.data_ptr() == place) == (place, False)
    assert store.in_memory == 2 * 8 * 4 * 4


def test_a_tensor_of_equal_size_replaces_another() -> None:
    store = ActivationStore(room=10**9)
    kept = store.put(torch.ones(3))
    assert store.replace(kept, torch.zeros(3)).data_ptr() == kept.data_ptr()
    assert torch.equal(kept, torch.zeros(3))
    assert torch.equal(store.replace(kept, torch.ones(2)), torch.ones(2))


def test_over_the_memory_limit_unnamed_files_are_used(tmp_path: Path) -> None:
    store = ActivationStore(room=100, scratch=tmp_path)
    kept = [store.put(torch.full((16,), float(i))) for i in range(4)]
    assert (store.in_memory, store.in_files) == (64, 192)
    assert [float(x[-1]) for x in kept] == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []
    mapped = Path("/proc/self/maps").read_text().count(str(tmp_path))
    assert mapped == 3
    del kept, store
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_without_a_folder_everything_stays_in_memory() -> None:
    store = ActivationStore(room=0)
    store.put(torch.ones(16))
    assert (store.in_memory, store.in_files) == (64, 0)


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own refusal, of more than any disk has."""
    real = os.posix_fallocate
    monkeypatch.setattr(os, "posix_fallocate", lambda descriptor, start, _size: real(descriptor, start, 1 << 62))
    with pytest.raises(OSError, match=r"No space left|File too large"):
        ActivationStore(room=0, scratch=tmp_path).put(torch.ones(4))
    assert list(tmp_path.iterdir()) == []


def test_free_memory_is_no_more_than_the_host_has() -> None:
    assert 0 < free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_location_of_activations_changes_no_bit(
    checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, found = Recipe.from_dict({"preset": "balanced"}), []
    for free in (10**12, 0):
        monkeypatch.setattr("worker.engine.activations.store.free_memory", lambda free=free: free)
        target = tmp_path / str(free)
        sparsify(checkpoint("llama"), target, recipe, families.tokens(), device="cpu", scratch=tmp_path / "scratch")
        found.append((target / "model.safetensors").read_bytes())
    assert found[0] == found[1]
    assert (tmp_path / "scratch").is_dir()
