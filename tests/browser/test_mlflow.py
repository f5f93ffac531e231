"""MLflow in the new-job form and on a job's page."""

import shlex
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.browser.test_job_creation import request_of, unfold
from tests.support.api_server import BODY, serving, set_job
from tests.support.dashboard_jobs import finished_job

WITH_RUN = JobSpec.model_validate(BODY | {"output": {"mlflow": {"registered_model": "sparse"}}}).stored()


@pytest.fixture
def with_mlflow(settings: Settings) -> Iterator[str]:
    """Where a service with an MLflow server answers."""
    with serving(settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})) as url:
        yield url


def test_the_form_and_its_command_log_a_job_to_mlflow(with_mlflow: str, opened: Opening) -> None:
    page = opened("/jobs/new", at=with_mlflow, excused="the server responded with a status of")
    page.get_by_label("Name", exact=True).fill("org/model")
    unfold(page, "Output")
    page.get_by_label("Log to MLflow").select_option("yes")
    assert request_of(page)["output"] == {"mlflow": {"experiment": "dsnot"}}
    page.get_by_label("Registered model").fill("it's sparse")
    page.get_by_label("Alias").fill("candidate")
    asked = {"experiment": "dsnot", "registered_model": "it's sparse", "alias": "candidate"}
    assert request_of(page)["output"] == {"mlflow": asked}
    page.get_by_role("button", name="CLI").click()
    words = shlex.split(page.locator("#request").inner_text().replace("\\\n", " "))
    assert [words[words.index(f"--mlflow-{name}") + 1] for name in ("experiment", "model", "alias")] == list(asked.values())
    page.get_by_label("Log to MLflow").select_option("")
    page.get_by_role("button", name="JSON").click()
    assert "output" not in request_of(page)


def test_without_a_server_the_form_has_no_fields_for_it_except_in_a_clone(opened: Opening, database: Database) -> None:
    excused = "the server responded with a status of"
    page = opened("/jobs/new", excused=excused)
    unfold(page, "Output")
    expect(page.get_by_label("Upload to the Hub")).to_be_visible()
    expect(page.get_by_label("Log to MLflow")).to_have_count(0)
    job_id = finished_job(database, spec=WITH_RUN)
    clone = opened(f"/jobs/new?from={job_id}", excused=excused)
    assert request_of(clone)["output"] == {"mlflow": {"experiment": "dsnot", "registered_model": "sparse"}}


def test_a_page_follows_the_logging_after_the_end_of_the_job(with_mlflow: str, opened: Opening, database: Database) -> None:
    job_id = finished_job(database, spec=WITH_RUN)
    failed = {"state": "pending", "error": "MLflow answered 500", "next_attempt_at": "2026-01-31T12:00:00Z", "attempts": 1}
    set_job(database, job_id, mlflow=failed)
    page = opened(f"/jobs/{job_id}", at=with_mlflow)
    expect(page.locator("#mlflow")).to_contain_text("pending: MLflow answered 500; next attempt at 31 Jan 2026, 12:00:00 UTC")
    addresses = {"run_url": "https://mlflow.example/#/runs/1", "version_url": "https://mlflow.example/#/models/sparse/versions/3"}
    set_job(database, job_id, mlflow={"state": "logged", "model": "sparse", "version": "3", **addresses})
    expect(page.locator("#mlflow-version")).to_have_attribute("href", addresses["version_url"])
    expect(page.locator("#mlflow")).to_have_text("logged, run, sparse version 3")
    expect(page.locator("#mlflow-run")).to_have_attribute("href", addresses["run_url"])


def test_a_job_that_was_given_up_is_logged_again_by_a_click(with_mlflow: str, opened: Opening, database: Database) -> None:
    job_id = finished_job(database, spec=WITH_RUN)
    set_job(database, job_id, mlflow={"state": "failed", "error": "MLflow answered 403", "attempts": 1})
    page = opened(f"/jobs/{job_id}", at=with_mlflow)
    page.get_by_role("button", name="Log again").click()
    expect(page.locator("#mlflow")).to_have_text("pending")


def test_a_failed_job_was_not_logged(opened: Opening, database: Database) -> None:
    job_id = finished_job(database, spec=WITH_RUN, state=JobState.FAILED, error=None)
    expect(opened(f"/jobs/{job_id}").locator("#mlflow")).to_have_text("skipped")
