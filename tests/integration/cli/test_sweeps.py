"""`dsnot sweeps` against the real HTTP service; jobs end without a worker."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import key_for
from tests.support.command_line import dsnot
from tests.support.sweep_points import GRID, SEARCH, dispatch, running_sweeps

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def command(url: str, database: Database, tmp_path: Path) -> Command:
    """`dsnot sweeps` with a key of the service."""
    key = key_for(database, Scope.ADMIN)

    def run(*arguments: str, status: int = 0, body: dict[str, Any] | None = None) -> "CompletedProcess[str]":
        stdin = json.dumps(body) if body else ""
        done = dsnot(tmp_path, "sweeps", *arguments, stdin=stdin, DSNOT_URL=url, DSNOT_API_KEY=key, COLUMNS="80")
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_a_search_is_watched_to_its_answer(command: Command, database: Database, settings: Settings) -> None:
    with running_sweeps(database, settings):
        watched = command("create", "--spec", "-", "--watch", body=SEARCH)
    assert "50 % is the sparsest that meets the target" in watched.stdout
    assert "point 0 (55 %) succeeded: perplexity" in watched.stderr
    sweep_id = json.loads(command("list", "--json").stdout)["id"]
    lines = [json.loads(line) for line in command("watch", sweep_id, "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines[:-1]] == list(range(1, len(lines)))
    assert (lines[-1]["type"], lines[-1]["sweep"]["state"], lines[-1]["sweep"]["points"]) == (
        "end",
        "finished",
        len(lines[-1]["sweep"]["table"]),
    )


def test_a_grid_is_planned_created_shown_compared_and_deleted(command: Command, database: Database, settings: Settings) -> None:
    options = ("--spec", "-", "--sparsities", "0.4..0.6:0.1")
    assert json.loads(command("plan", *options, "--json", body=GRID).stdout)["points"] == 9
    assert "balanced, 50 %" in command("plan", *options, body=GRID).stdout
    sweep_id = command("create", *options, "--idempotency-key", "nightly", body=GRID).stdout.strip()
    assert command("create", *options, "--idempotency-key", "nightly", body=GRID).stdout.strip() == sweep_id
    assert "paused" in command("pause", sweep_id).stdout
    assert "running" in command("resume", sweep_id).stdout
    with running_sweeps(database, settings):
        command("watch", sweep_id)
    shown = command("show", sweep_id, "--front", "seconds", "--front", "top1_agreement").stdout
    for part in ("presets and sparsities", "9 succeeded", "front of", "top1_agreement", "balanced, 60 %"):
        assert part in shown
    assert command("show", sweep_id, "--csv").stdout.count("\n") == 10
    assert sweep_id in command("list").stdout
    compared = json.loads(command("compare", sweep_id, "--json").stdout)
    assert [point["text"] for point in compared["points"]] == ["best, 60 %", "best, 50 %", "best, 40 %"]
    other = command("create", "--spec", "-", "--presets", "best", body=GRID).stdout.strip()
    assert "fast, 40 %" in command("compare", sweep_id, other, "--all", "--measure", "perplexity").stdout
    assert "beauty is not measured" in command("compare", sweep_id, "--measure", "beauty", status=2).stderr
    command("delete", sweep_id)
    assert "there is no sweep" in command("show", sweep_id, status=1).stderr


def test_a_cancelled_sweep_has_exit_status_3(command: Command, database: Database, settings: Settings) -> None:
    sweep_id = json.loads(command("create", "--spec", "-", "--json", body=GRID).stdout)["id"]
    command("cancel", sweep_id)
    dispatch(database, settings)
    assert "cancellation requested" in command("watch", sweep_id, status=3).stderr


def test_a_refused_point_is_named_by_its_option(command: Command) -> None:
    refused = command("create", "--spec", "-", "--sparsities", "0.5,1.5", status=1, body=GRID)
    assert "--sparsities, value 1.5: give a fraction between 0 and 1 (at" in refused.stderr
    assert refused.stdout == ""
