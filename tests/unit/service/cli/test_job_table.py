"""Table of `dsnot jobs list`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.cli.job_table import print_jobs
from service.client import Job
from tests.support.dashboard_jobs import METRICS
from tests.support.job_examples import filled

ID = "0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"


def job(recipe: dict[str, Any] | None = None, **values: Any) -> Job:
    usual = {
        "id": ID,
        "state": "succeeded",
        "spec": filled(recipe=recipe or {}),
        "created_at": datetime.now(UTC) - timedelta(hours=3),
    }
    return Job.model_validate(usual | values)


JOBS = [
    job({"preset": "dsnot-reference"}, metrics=METRICS),
    job(name="a name that is far too long for a column", state="queued"),
    job(state="running", stage="pruning", progress={"done": 12, "total": 30, "unit": "blocks"}),
]


def test_the_list_fits_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_jobs(JOBS)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    [first, second, third] = [line for line in lines if "0b8f1c1e" in line]
    assert first.split() == ["0b8f1c1e", "model", "succeeded", "50", "%", "dsnot-refe…", "25.45", "+76", "%", "3", "h"]
    assert "a name that" in second
    assert "…" in second
    assert "running 40%" in third


def test_the_wide_list_shortens_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_jobs(JOBS, is_wide=True)
    shown = capsys.readouterr().out
    for text in (ID, "a name that is far too long for a column", "org/model", "269 MB", "64.1 %", "(preset dsnot-reference)"):
        assert text in shown


def test_an_empty_list_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_jobs([])
    assert capsys.readouterr() == ("", "no jobs\n")
