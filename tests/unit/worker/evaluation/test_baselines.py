"""Losses of dense models on the host's disk: the same bits come back, and nothing else does."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from worker.engine.output import journal
from worker.evaluation import dense_cache
from worker.evaluation.baselines import Baselines

WINDOWS = torch.arange(12).view(3, 4)
LOSSES = [0.1 + 0.2, 1 / 3, 5e-324]
CPU = torch.device("cpu")


def of(folder: Path, source: str = "hash") -> Baselines:
    return Baselines(folder, source=source, device=CPU)


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """The file of an entry that is there."""
    of(tmp_path).keep(WINDOWS, LOSSES)
    [path] = (tmp_path / "baselines").iterdir()
    return path


def test_stored_losses_have_the_same_bits(tmp_path: Path, entry: Path) -> None:
    found = of(tmp_path).find(WINDOWS)
    assert found is not None
    assert torch.equal(found, torch.tensor(LOSSES, dtype=torch.float64))


def test_other_models_texts_libraries_and_devices_do_not_match(
    tmp_path: Path, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of(tmp_path, source="other").find(WINDOWS) is None
    assert of(tmp_path).find(WINDOWS.flip(0)) is None
    assert of(tmp_path).find(WINDOWS.view(4, 3)) is None
    for name, other in {"version": lambda _: "0", "_own_code": lambda: "changed"}.items():
        with monkeypatch.context() as patch:
            patch.setattr(journal, name, other)
            assert of(tmp_path).find(WINDOWS) is None
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert of(tmp_path).find(WINDOWS) is None
    torch.set_num_threads(threads)
    assert of(tmp_path).find(WINDOWS) is not None


def changed(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "a list": lambda path: path.write_text("[]"),
    "another key": lambda path: changed(path, key="0" * 64),
    "another digit": lambda path: path.write_text(path.read_text().replace("0.33", "0.43")),
    "a window less": lambda path: changed(path, losses=LOSSES[:2]),
    "not numbers": lambda path: changed(path, losses=["1", None, True]),
    "nan": lambda path: changed(path, losses=[float("nan")] * 3),
    "a folder": lambda path: path.rename(path.with_name("gone")).parent.joinpath(path.name).mkdir(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_and_foreign_entries_are_not_used(tmp_path: Path, entry: Path, damage: str) -> None:
    DAMAGES[damage](entry)
    assert of(tmp_path).find(WINDOWS) is None


@pytest.mark.parametrize("damage", sorted(set(DAMAGES) - {"a folder"}))
def test_a_damaged_entry_is_rewritten(tmp_path: Path, entry: Path, damage: str) -> None:
    DAMAGES[damage](entry)
    of(tmp_path).keep(WINDOWS, LOSSES)
    assert of(tmp_path).find(WINDOWS) is not None


def test_the_number_of_entries_is_limited_by_last_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_cache, "LIMIT", 3)
    for age, source in enumerate("abcd"):
        of(tmp_path, source).keep(WINDOWS, LOSSES)
        for path in (tmp_path / "baselines").iterdir():
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
        if age == 2:
            assert of(tmp_path, "a").find(WINDOWS) is not None
    (tmp_path / "baselines" / "left.behind.part").touch()
    os.utime(tmp_path / "baselines" / "left.behind.part", (0, 0))
    of(tmp_path, "e").keep(WINDOWS, LOSSES)
    assert [source for source in "abcde" if of(tmp_path, source).find(WINDOWS) is not None] == ["a", "d", "e"]
    assert len(list((tmp_path / "baselines").iterdir())) == 3


def test_concurrent_workers_see_complete_entries_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_cache, "LIMIT", 2)

    def use(number: int) -> bool:
        own = of(tmp_path, str(number % 4))
        own.keep(WINDOWS, LOSSES)
        found = own.find(WINDOWS)
        return found is None or found.tolist() == LOSSES

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(400)))
    assert len(list((tmp_path / "baselines").iterdir())) <= 3


def test_a_full_disk_only_costs_a_repeated_measurement(tmp_path: Path) -> None:
    (tmp_path / "baselines").write_text("in the way")
    of(tmp_path).keep(WINDOWS, LOSSES)
    assert of(tmp_path).find(WINDOWS) is None
