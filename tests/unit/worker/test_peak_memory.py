"""The peak of a run's memory, and of a part of it."""

import mmap
from pathlib import Path

import torch

from tests.support.strict_device import strict_cuda
from worker.process.peak_memory import PeakMemory

MANY = 64 << 20
NEARLY = 0.95
"""The kernel counts the pages of a process in batches."""


def _touch(size: int) -> None:
    """Have so many bytes for a moment, and no copy of them."""
    with mmap.mmap(-1, size) as pages:
        for place in range(0, size, mmap.PAGESIZE):
            pages[place] = 1


def _may_reset_marks() -> bool:
    """Some containers do not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def test_a_part_has_its_own_peak_and_the_run_keeps_its_own() -> None:
    memory = PeakMemory.start("cpu")
    _touch(2 * MANY)
    before = memory.read()["host"]
    with memory.part() as taken:
        _touch(MANY)
    after = memory.read()["host"]

    assert before is not None
    assert after is not None
    assert before >= NEARLY * 2 * MANY
    assert taken.host >= NEARLY * MANY
    if _may_reset_marks():
        assert taken.host < 1.5 * MANY
    assert after >= NEARLY * before


def test_the_largest_peak_of_the_parts_is_the_peak_of_the_run() -> None:
    memory = PeakMemory.start("cpu")
    with memory.part():
        _touch(2 * MANY)
    peak = memory.read()["host"]
    assert peak is not None
    assert peak >= NEARLY * 2 * MANY


def test_a_block_has_its_own_peak_and_the_run_keeps_its_own() -> None:
    memory = PeakMemory.start("cpu")
    memory.begin_block()
    _touch(2 * MANY)
    large = memory.of_block()["host_total"]
    memory.begin_block()
    _touch(MANY)
    small = memory.of_block()["host_total"]
    peak = memory.read()["host_total"]

    assert large is not None
    assert small is not None
    assert peak is not None
    if _may_reset_marks():
        assert small < large - (1 - NEARLY) * MANY
    assert peak >= large


def test_the_peak_is_that_of_the_workers_own_device() -> None:
    with strict_cuda(devices=2):
        memory = PeakMemory.start("cuda:1")
        torch.zeros(MANY, dtype=torch.uint8, device="cuda:0")
        torch.zeros(2048, dtype=torch.uint8, device="cuda:1")
        memory.begin_block()
        with memory.part() as taken:
            torch.zeros(1024, dtype=torch.uint8, device="cuda:1")
        assert taken.device == 1024
        assert memory.of_block()["device"] == 1024
        assert memory.read()["device"] == 2048


def test_a_cpu_worker_has_no_device_memory_although_the_host_has_a_gpu() -> None:
    with strict_cuda():
        memory = PeakMemory.start("cpu")
        with memory.part() as taken:
            torch.zeros(1024, device="cuda")
        assert (memory.read()["device"], memory.of_block()["device"], taken.device) == (None, None, None)
