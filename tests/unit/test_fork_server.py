"""The tests' fork server."""

import os
from pathlib import Path

import pytest

from tests.support import fork_server
from tests.support.fork_server import Forked
from tests.support.waiting import CEILING_SECONDS


def test_programs_are_forked_although_lm_eval_changes_the_environment(tmp_path: Path) -> None:
    import lm_eval  # noqa: F401

    with (tmp_path / "output").open("wb") as output:
        process = fork_server.start(["platform"], dict(os.environ), output)
    assert isinstance(process, Forked)
    assert process.wait(CEILING_SECONDS) == 0


def test_python_itself_starts_programs_whose_packages_read_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with (tmp_path / "output").open("wb") as output:
        process = fork_server.start(["platform"], dict(os.environ), output)
    assert not isinstance(process, Forked)
    assert process.wait(CEILING_SECONDS) == 0
