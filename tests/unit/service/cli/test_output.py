"""Texts of others in the command's output: neither markup nor control characters have an effect."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from service.cli import artifacts, job_views
from service.cli.output import print_fields, print_table
from tests.support.job_examples import made_job

NAMES = ["[/x]", "[red]a[/red]", "\x1b[31mred", "a\u202eb", "plain"]


def test_a_table_shows_markup_as_it_is_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "state"], [(name, "ok") for name in NAMES])
    shown = capsys.readouterr().out
    for name in ("[/x]", "[red]a[/red]", "\ufffd[31mred", "a\ufffdb", "plain"):
        assert name in shown
    assert not {"\x1b", "\u202e"} & set(shown)


def test_fields_show_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("name", "\x1b]0;title\x07x")])
    assert capsys.readouterr().out == "name  \ufffd]0;title\ufffdx\n"


def test_an_error_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "internal", "detail": "\x1b[31mred", "retryable": False}
    job_views.print_job(made_job(state="failed", error=error))
    assert "failed: \ufffd[31mred" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "shown"), [("[/x]", "[/x]"), ("\x1b]0;title\x07x", "\ufffd]0;title\ufffdx")])
def test_file_names_in_a_progress_bar_are_no_markup(
    name: str, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Fake:
        files = ()

        @property
        def jobs(self) -> "Fake":
            return self

        def manifest(self, _job_id: str) -> "Fake":
            return self

        def download(self, _job_id: str, _folder: Path, received: Callable[[str, int], None]) -> None:
            received(name, 1)

    with (tmp_path / "terminal").open("w+") as terminal:
        console = Console(file=terminal, force_terminal=True, width=200, color_system=None)
        monkeypatch.setattr("rich.console.Console", lambda **_: console)
        artifacts._download(Fake(), "1", tmp_path)  # type: ignore[arg-type]
        terminal.seek(0)
        assert shown in terminal.read()
