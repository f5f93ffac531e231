"""MLflow in a job's body, in settings, and as it is shown."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.cli import job_views
from service.contract.spec import JobSpec
from service.settings import Settings, problems_of
from tests.support.job_examples import MODEL, filled, made_job
from tests.unit.service.test_public_url import NEEDED


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(f"DSNOT_{name}", value)


def test_everything_about_a_run_has_a_default() -> None:
    asked = filled(output={"mlflow": {}})["output"]["mlflow"]
    assert asked == {"experiment": "dsnot", "run_name": None, "registered_model": None, "alias": None}
    assert filled(output={"mlflow": asked})["output"]["mlflow"] == asked


def test_a_stored_spec_without_a_run_is_one_that_older_workers_know() -> None:
    assert "mlflow" not in JobSpec.model_validate(MODEL).stored()["output"]
    assert JobSpec.model_validate(MODEL | {"output": {"mlflow": {}}}).stored()["output"]["mlflow"]["experiment"] == "dsnot"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"registered_model": "a/b"}, "must not contain '/' or ':'"),
        ({"registered_model": "models:b"}, "must not contain '/' or ':'"),
        ({"registered_model": " "}, "is blank"),
        ({"registered_model": "m", "alias": "two words"}, "letters, digits"),
        ({"registered_model": "m", "alias": "latest"}, "is reserved by MLflow"),
        ({"registered_model": "m", "alias": "V12"}, "is reserved by MLflow"),
        ({"registered_model": "m", "alias": ""}, "letters, digits"),
        ({"alias": "candidate"}, "set registered_model as well"),
        ({"experiment": "a\nb"}, "control character"),
        ({"experiment": ""}, "at least 1"),
        ({"run": "a"}, "Extra inputs"),
    ],
)
def test_a_run_that_mlflow_cannot_store_is_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        filled(output={"mlflow": asked})


@pytest.mark.usefixtures("needed")
@pytest.mark.parametrize(
    "uri", ["databricks", "sqlite:///mlflow.db", "mlflow:5000", "https://user:pw@mlflow", "http://mlflow/?a=b"]
)
@pytest.mark.parametrize("variable", ["DSNOT_MLFLOW_TRACKING_URI", "DSNOT_MLFLOW_PUBLIC_URL"])
def test_a_tracking_uri_that_is_no_plain_address_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, uri: str) -> None:
    monkeypatch.setenv(variable, uri)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (problem,) = problems_of(caught.value)
    assert problem.startswith(f"{variable}: must be an http(s) URL")
    assert "pw" not in problem


@pytest.mark.usefixtures("needed")
def test_access_comes_from_the_variables_of_mlflow_and_is_in_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSNOT_MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", f"a {name.lower()}")
    settings = Settings()
    assert settings.mlflow_tracking_uri == "http://mlflow:5000"
    assert settings.mlflow_username == "a username"
    assert settings.mlflow_password is not None
    assert settings.mlflow_password.get_secret_value() == "a password"
    assert {"a password", "a token"} <= set(settings.secrets())
    assert "a password" not in repr(settings)
    assert "a token" not in repr(settings)


def test_the_command_shows_run_and_version_or_why_there_is_none() -> None:
    assert job_views.mlflow(made_job()) == ""
    logged = {"state": "logged", "model": "sparse", "version": "3", "run_url": "https://mlflow/#/runs/1"}
    assert job_views.mlflow(made_job(mlflow=logged)) == "logged, sparse version 3, https://mlflow/#/runs/1"
    pending = {"state": "pending", "error": "MLflow answered 500", "next_attempt_at": "2026-01-31T12:00:00Z"}
    assert job_views.mlflow(made_job(mlflow=pending)).startswith("pending, MLflow answered 500, next attempt ")
