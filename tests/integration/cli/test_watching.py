"""`dsnot jobs watch` of one and of several jobs, Ctrl-C in it, and the lists of events, models and artifacts."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from service.contract.states import JobState
from service.database.engine import Database
from tests.support.api_server import BODY, insert_job
from tests.support.command_line import dsnot, environment
from tests.support.waiting import CEILING_SECONDS

Run = Callable[..., "CompletedProcess[str]"]
LISTENING = ["env", "--default-signal=INT"]
"""A test that runs in the background inherits that SIGINT is ignored."""


@pytest.fixture
def address(api: httpx.Client) -> dict[str, str]:
    key = api.headers["authorization"].removeprefix("Bearer ")
    return {"DSNOT_URL": str(api.base_url).rstrip("/"), "DSNOT_API_KEY": str(key)}


@pytest.fixture
def run(address: dict[str, str], tmp_path: Path) -> Run:
    return lambda *arguments, **more: dsnot(tmp_path, *arguments, **(address | more))


@contextmanager
def watching(home: Path, address: dict[str, str], *arguments: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """`dsnot jobs watch` in the background; ended in any case."""
    command = [*LISTENING, sys.executable, "-m", "service.cli", "jobs", "watch", *arguments]
    given = environment(home, **address) | {"COLUMNS": "80"}
    process = subprocess.Popen(
        command, env=given, text=True, **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options)
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def create(api: httpx.Client) -> str:
    return str(api.post("/v1/jobs", json=BODY).json()["id"])


def test_several_jobs_have_a_line_for_each_change_and_a_table_at_the_end(
    api: httpx.Client, address: dict[str, str], tmp_path: Path
) -> None:
    first, second = create(api), create(api)
    with watching(tmp_path, address, first[:8], second) as process:
        assert process.stderr is not None
        assert {process.stderr.readline() for _ in range(2)} == {f"{job[:8]}  queued\n" for job in (first, second)}
        api.post(f"/v1/jobs/{second}/cancel")
        assert process.stderr.readline() == f"{second[:8]}  cancelled\n"
        api.post(f"/v1/jobs/{first}/cancel")
        output, errors = process.communicate(timeout=CEILING_SECONDS)
    assert process.returncode == 3
    assert errors == f"{first[:8]}  cancelled\n"
    assert first[:8] in output
    assert "2 of 2 jobs have ended" in output


def test_the_worst_outcome_decides_the_exit_status(run: Run, api: httpx.Client, database: Database) -> None:
    def ended(state: JobState) -> str:
        return str(insert_job(database, state=state))

    done, failed, cancelled = map(ended, (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED))
    assert run("jobs", "watch", done, ended(JobState.SUCCEEDED)).returncode == 0
    gates = [{"metric": "perplexity", "text": "a gate", "passed": False, "judge_by": "mean", "value": 9.0}]
    missing = str(insert_job(database, state=JobState.SUCCEEDED, metrics={"gates": gates}))
    assert run("jobs", "watch", done, missing).returncode == 4
    assert run("jobs", "watch", missing, cancelled).returncode == 3
    assert run("jobs", "watch", done, cancelled).returncode == 3
    assert run("jobs", "watch", done, cancelled, failed).returncode == 1
    lines = run("jobs", "watch", done, failed, "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["succeeded", "failed"]


def test_all_watches_the_jobs_that_have_not_ended(api: httpx.Client, run: Run, database: Database) -> None:
    insert_job(database, state=JobState.FAILED)
    none = run("jobs", "watch", "--all")
    assert none.returncode == 1
    assert "no job is queued, running or paused" in none.stderr
    for wrong in (["jobs", "watch"], ["jobs", "watch", "@last", "--all"]):
        assert run(*wrong).returncode == 2


def test_a_terminal_has_a_live_table(api: httpx.Client, address: dict[str, str], tmp_path: Path) -> None:
    jobs = [create(api) for _ in range(3)]
    terminal, other_end = pty.openpty()
    with watching(tmp_path, address, "--all", stderr=other_end) as process:
        os.close(other_end)
        seen = b""
        while not all(job[:8].encode() in seen for job in jobs) or b"0 of 3 jobs" not in seen:
            seen += os.read(terminal, 4096)
        for job in jobs:
            api.post(f"/v1/jobs/{job}/cancel")
        with suppress(OSError):  # the end of a terminal whose other end is closed
            while os.read(terminal, 4096):
                pass
        assert process.wait(CEILING_SECONDS) == 3


def test_a_job_that_is_deleted_meanwhile_ends_its_row(api: httpx.Client, address: dict[str, str], tmp_path: Path) -> None:
    first, second = create(api), create(api)
    with watching(tmp_path, address, first, second) as process:
        assert process.stderr is not None
        process.stderr.readline()
        for job in (first, second):
            api.post(f"/v1/jobs/{job}/cancel")
            assert api.delete(f"/v1/jobs/{job}").status_code == 204
        process.communicate(timeout=CEILING_SECONDS)
    assert process.returncode == 3


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_says_how_to_watch_again_and_the_jobs_stay(
    api: httpx.Client, address: dict[str, str], tmp_path: Path, count: int
) -> None:
    jobs = [create(api) for _ in range(count)]
    with watching(tmp_path, address, *jobs) as process:
        assert process.stderr is not None
        assert "queued" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=CEILING_SECONDS)
    names = [job[:8] for job in jobs] if count > 1 else jobs
    assert process.returncode == 130
    assert f"no longer watching; the work continues, watch it again with\n  dsnot jobs watch {' '.join(names)}\n" in errors
    assert {each["state"] for each in api.get("/v1/jobs").json()["items"]} == {"queued"}


def test_events_are_listed_in_words(api: httpx.Client, run: Run) -> None:
    job = create(api)
    api.post(f"/v1/jobs/{job}/cancel")
    shown = run("jobs", "events", job[:8], COLUMNS="80").stdout
    assert [line.split()[0] for line in shown.splitlines() if line.strip()[:1].isdigit()] == ["1", "2", "3"]
    assert "created" in shown
    assert "{" not in shown
    events = [json.loads(line) for line in run("jobs", "events", "@last", "--after", "2", "--json").stdout.splitlines()]
    assert [(each["seq"], each["type"]) for each in events] == [(3, "cancelled")]


def test_local_models_artifacts_and_presets_are_listed(api: httpx.Client, run: Run, database: Database, settings: Any) -> None:
    assert "no local models" in run("models", "list").stderr
    for name in ("mine", "org/theirs"):
        (settings.model_root / name).mkdir(parents=True)
        (settings.model_root / name / "config.json").write_text("{}")
    models = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert models == [{"source": "local", "id": "mine"}, {"source": "local", "id": "org/theirs"}]
    assert "no artifacts" in run("artifacts", "list").stderr
    job = insert_job(database, state=JobState.SUCCEEDED)
    insert_job(database, state=JobState.FAILED)
    assert [json.loads(line)["id"] for line in run("artifacts", "list", "--json").stdout.splitlines()] == [str(job)]
    assert str(job)[:8] in run("artifacts", "list", COLUMNS="80").stdout
    recipes = run("recipes", COLUMNS="80").stdout
    assert all(words in recipes for words in ("balanced", "for a first result", "swaps", "packed"))
