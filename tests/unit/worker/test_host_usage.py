"""The memory that a worker reports to planning."""

from pathlib import Path

import psutil
import pytest

from worker.process.host_usage import memory_bytes


@pytest.mark.parametrize(("content", "expected"), [("1048576\n", 1048576), ("max\n", None), ("9" * 30, None), (None, None)])
def test_a_container_has_the_memory_of_its_limit(tmp_path: Path, content: str | None, expected: int | None) -> None:
    limit = tmp_path / "memory.max"
    if content is not None:
        limit.write_text(content)
    assert memory_bytes(limit) == (expected or psutil.virtual_memory().total)
