"""Checkpoints that several tests read and none changes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.support.engine import families


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random model of a family, made once."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = families.save(family, tmp_path_factory.mktemp(family))
        return made[family]

    return make


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
