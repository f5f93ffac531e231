"""Texts of others in the command's output: neither markup nor control characters have an effect."""

import pytest

from service.cli.output import print_fields, print_table

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
