"""The help of every command: groups, width, examples; version and completion."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from service.cli.__main__ import app
from tests.support.waiting import CEILING_SECONDS

GROUPS = ("Model", "Sparsity and recipe", "Calibration", "Evaluation", "Output", "Queue")


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, (*path, name))


PATHS = list(paths(get_command(app)))


def help_of(*path: str, option: str = "-h") -> str:
    found = CliRunner().invoke(app, [*path, option], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert found.exit_code == 0, found.output
    return found.output


def test_every_command_has_a_help_of_80_columns() -> None:
    assert len(PATHS) > 70
    wide = {path for path in PATHS for line in help_of(*path).splitlines() if len(line) > 80}
    assert wide == set()


@pytest.mark.parametrize("path", [("jobs", "submit"), ("jobs", "plan"), ("sweeps", "create"), ("sweeps", "plan")])
def test_options_of_a_job_are_in_groups(path: tuple[str, ...]) -> None:
    headings = [line.split("─")[1].strip() for line in help_of(*path).splitlines() if line.startswith("╭─ ")]
    assert [heading for heading in headings if heading in GROUPS] == list(GROUPS)


def test_examples_are_commands_that_exist() -> None:
    examples = [line.split() for path in PATHS for line in help_of(*path).splitlines() if line.strip().startswith("dsnot ")]
    assert len(examples) > 10
    for _, *words in examples:
        assert any(tuple(words[: len(path)]) == path and path for path in PATHS), words


def test_both_help_options_and_the_version() -> None:
    assert help_of("jobs", option="--help") == help_of("jobs")
    found = CliRunner().invoke(app, ["--version"])
    assert (found.exit_code, found.output) == (0, f"dsnot {version('dsnot')}\n")


def test_commands_are_completed_in_a_shell() -> None:
    completing = {"_DSNOT_COMPLETE": "complete_bash", "COMP_WORDS": "dsnot jobs wa", "COMP_CWORD": "2"}
    code = "from service.cli.__main__ import app; app(prog_name='dsnot')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | completing,
        capture_output=True,
        text=True,
        check=False,
        timeout=CEILING_SECONDS,
    )
    assert done.stdout.split() == ["watch"]
