"""Which of the hub's models stay on a worker's disk."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from worker.failures import JobFailure
from worker.inputs import model_cache
from worker.inputs.model_cache import cached_models, in_use, reserve


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three models of 100 bytes; `org/a` was used longest ago, `org/c` last."""
    for age, name in enumerate(("c", "b", "a")):
        keep(tmp_path, name, 100)
        with in_use(tmp_path, ModelSpec(id=f"org/{name}")):
            pass
        os.utime(tmp_path / "hub-locks" / f"models--org--{name}", (1000 - age, 1000 - age))
    return tmp_path


def keep(cache: Path, name: str, size: int) -> None:
    """As the hub's client does: contents, and a folder per commit that links to them."""
    folder = cache / "hub" / f"models--org--{name}"
    (folder / "snapshots" / "commit").mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "blobs" / "content").write_bytes(b"x" * size)
    (folder / "snapshots" / "commit" / "model.safetensors").symlink_to(folder / "blobs" / "content")


def kept(cache: Path) -> set[str]:
    return {path.name.rpartition("-")[2] for path in (cache / "hub").iterdir()}


def disk_of(size: int, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of so many bytes, on which there is nothing but the models."""
    free = lambda _: SimpleNamespace(free=size - 100 * len(kept(cache)))  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", free)


def test_a_model_that_fits_evicts_nothing(cache: Path) -> None:
    reserve(cache, download=1000, copy=1000)
    assert kept(cache) == {"a", "b", "c"}


def test_over_the_limit_least_recently_used_models_are_evicted(cache: Path) -> None:
    reserve(cache, download=50, copy=1000, max_bytes=300)
    assert kept(cache) == {"b", "c"}
    reserve(cache, download=100, copy=1000, max_bytes=200)
    assert kept(cache) == {"c"}


def test_use_moves_a_model_to_the_end_of_the_eviction_order(cache: Path) -> None:
    with in_use(cache, ModelSpec(id="org/a")):
        pass
    reserve(cache, download=150, copy=0, max_bytes=300)
    assert kept(cache) == {"a"}


def test_a_model_in_use_is_evicted_later(cache: Path) -> None:
    with in_use(cache, ModelSpec(id="org/a")):
        reserve(cache, download=200, copy=0, max_bytes=300)
        assert kept(cache) == {"a"}
    reserve(cache, download=300, copy=0, max_bytes=300)
    assert kept(cache) == set()


def test_a_full_disk_evicts_models_for_the_requested_one(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_of(400, cache, monkeypatch)
    reserve(cache, download=100, copy=100)
    assert kept(cache) == {"b", "c"}


def test_a_model_larger_than_the_disk_is_refused_with_the_bytes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_of(400, cache, monkeypatch)
    with pytest.raises(JobFailure) as refused:
        reserve(cache, download=2**30, copy=2 * 2**30)
    assert refused.value.code == FailureCode.DISK_FULL
    assert "takes 1.0 GiB of the worker's disk and its pruned copy 2.0 GiB, and 0.0 GiB are free" in refused.value.detail
    assert kept(cache) == {"a", "b", "c"}


def test_a_model_that_does_not_fit_with_those_in_use_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_of(400, cache, monkeypatch)
    with in_use(cache, ModelSpec(id="org/c")), pytest.raises(JobFailure, match="Fetching the model takes"):
        reserve(cache, download=200, copy=150)
    assert kept(cache) == {"c"}


def test_local_models_are_not_locked(tmp_path: Path) -> None:
    with in_use(tmp_path, ModelSpec(id="mine", source="local")):
        assert list(tmp_path.iterdir()) == []


def test_reserving_without_a_cache_creates_none(tmp_path: Path) -> None:
    reserve(tmp_path, download=1, copy=1, max_bytes=1)
    assert not model_cache.root(tmp_path).exists()


def test_cached_models_are_known_by_source_id_and_revision(cache: Path) -> None:
    job = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"
    (cache / "hub" / model_cache.folder_of(ModelSpec(source="job", id=job, revision="12"))).mkdir()
    (cache / "hub" / "models--org--a" / "snapshots" / "other").mkdir()
    (cache / "hub" / "models--.job--unfinished").mkdir()
    hub = [f"hub:org/{name}" for name in ("a@commit", "a@other", "b@commit", "c@commit")]
    assert cached_models(cache) == [*hub, f"job:{job}@12"]
    assert cached_models(cache / "nowhere") == []
