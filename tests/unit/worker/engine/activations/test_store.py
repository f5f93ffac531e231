import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.engine import families
from tests.support.strict_device import strict_cuda
from worker.engine import Recipe, sparsify
from worker.engine.activations.store import ActivationStore, free_memory, give_back_memory


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


def test_pinned_memory_is_hardly_rounded_up_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of 2048 × 5120 halves in small; single buffers would take 1.6 times their size."""
    monkeypatch.setattr("worker.engine.activations.store._SLAB", 1 << 10)
    with strict_cuda() as cuda:
        x, store = torch.ones(20, 512, dtype=torch.bfloat16, device="cuda"), ActivationStore(pinned=True)
        kept = [store.put(x) for _ in range(128)]
        assert all(each.is_pinned() for each in kept)
        assert store.in_memory <= cuda.pinned.held <= 1.2 * store.in_memory
        del kept, store
        assert cuda.pinned.held > 0
        give_back_memory(device=torch.device("cuda"))
        assert cuda.pinned.held == 0


def test_one_tensor_takes_no_more_pinned_memory_than_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.activations.store._SLAB", 1 << 10)
    with strict_cuda() as cuda:
        ActivationStore(pinned=True).put(torch.ones(1 << 14, device="cuda"))
        assert cuda.pinned.held == 1 << 16


def test_memory_that_cannot_be_pinned_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.activations.store._SLAB", 1 << 10)
    with strict_cuda(pinned_memory=1 << 10):
        store = ActivationStore(pinned=True)
        kept = [store.put(torch.full((256,), float(value), device="cuda")) for value in range(3)]
        assert [each.is_pinned() for each in kept] == [True, False, False]
        assert [float(each[0]) for each in kept] == [0, 1, 2]


def test_workers_of_a_host_that_grow_together_leave_memory_to_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, slab = 100 << 12, 1 << 12
    stores = [ActivationStore(scratch=tmp_path) for _ in range(8)]
    monkeypatch.setattr("worker.engine.activations.store._SLAB", slab)
    monkeypatch.setattr("worker.engine.activations.store.free_memory", lambda: host - sum(store.in_memory for store in stores))
    for _ in range(100):
        for store in stores:
            store.put(torch.ones(slab // 4))
    sizes = [store.in_memory for store in stores]
    assert 0.8 * host < sum(sizes) < host
    assert max(sizes) - min(sizes) <= slab


def test_a_worker_alone_takes_half_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, slab = 100 << 12, 1 << 12
    store = ActivationStore(scratch=tmp_path)
    monkeypatch.setattr("worker.engine.activations.store._SLAB", slab)
    monkeypatch.setattr("worker.engine.activations.store.free_memory", lambda: host - store.in_memory)
    for _ in range(100):
        store.put(torch.ones(slab // 4))
    assert store.in_memory == host // 2


def test_cached_files_of_the_control_group_count_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("50000\n")
    (tmp_path / "memory.current").write_text("40000\n")
    assert free_memory(tmp_path) == 10_000
    (tmp_path / "memory.stat").write_text("anon 1000\nfile 35000\nshmem 5000\ninactive_file 20000\nactive_file 10000\n")
    assert free_memory(tmp_path) == 40_000


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
