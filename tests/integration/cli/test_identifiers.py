"""Short ids and `@last` as arguments of the real command, against the real service."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from uuid import UUID

import httpx
import pytest

from service.database.engine import Database
from tests.support.api_server import BODY, insert_job
from tests.support.command_line import dsnot

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def run(api: httpx.Client, tmp_path: Path) -> Run:
    """The command with URL and key of the service."""
    key = api.headers["authorization"].removeprefix("Bearer ")
    address = {"DSNOT_URL": str(api.base_url).rstrip("/"), "DSNOT_API_KEY": key}
    return lambda *arguments, **more: dsnot(tmp_path, *arguments, **address, **more)


def shown(run: Run, job: str) -> str:
    done = run("jobs", "show", job, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def test_the_beginning_of_an_id_names_a_job(api: httpx.Client, run: Run) -> None:
    job = api.post("/v1/jobs", json=BODY).json()["id"]
    assert {shown(run, text) for text in (job[:4], job[:9], job[:13].upper(), job, "@last")} == {job}
    cancelled = run("jobs", "cancel", job[:6])
    assert cancelled.stdout == f"job {job} is cancelled\n"


@pytest.mark.parametrize("command", ["show", "events", "logs", "pause"])
@pytest.mark.parametrize("form", ["the beginning", "a name", "@last"])
def test_commands_about_a_job_take_every_form_of_its_id(api: httpx.Client, run: Run, command: str, form: str) -> None:
    job = api.post("/v1/jobs", json=BODY | {"name": "a name"}).json()["id"]
    done = run("jobs", command, {"the beginning": job[:6]}.get(form, form))
    assert (done.returncode, "dsnot:" in done.stderr) == (0, False), done.stderr


def test_last_is_the_newest_job(api: httpx.Client, run: Run) -> None:
    none = run("jobs", "show", "@last")
    assert none.returncode == 1
    assert none.stderr == "dsnot: @last names the newest job, and there is none yet\n"
    api.post("/v1/jobs", json=BODY)
    second = api.post("/v1/jobs", json=BODY).json()["id"]
    assert shown(run, "@last") == second


def test_an_ambiguous_beginning_names_its_candidates_and_changes_nothing(api: httpx.Client, run: Run, database: Database) -> None:
    mine = [UUID(f"abcd{number}000-0000-4000-8000-000000000000") for number in (1, 2)]
    for each in mine:
        insert_job(database, id=each)
    done = run("jobs", "cancel", "abcd")
    assert done.returncode == 2
    assert all(str(each) in done.stderr for each in mine)
    assert "give more characters" in done.stderr
    assert {job["state"] for job in api.get("/v1/jobs").json()["items"]} == {"queued"}
    assert shown(run, "abcd1") == str(mine[0])


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("abc", 2, "'abc' is too short for the id of a job; give at least 4 characters of it"),
        ("abcdef", 1, "there is no job abcdef; `dsnot jobs list` lists them"),
        ("tiny", 1, "there is no job tiny"),
        ("%%%%", 1, "there is no job %%%%"),
    ],
)
def test_text_that_names_nothing_is_refused(
    api: httpx.Client, run: Run, database: Database, text: str, status: int, message: str
) -> None:
    done = run("jobs", "delete", text)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


def test_jobs_of_other_tenants_are_not_found(api: httpx.Client, run: Run, database: Database) -> None:
    theirs = str(insert_job(database, tenant="another"))
    assert run("jobs", "show", theirs[:8]).returncode == 1
    assert run("jobs", "show", "@last").returncode == 1


def test_every_kind_of_object_is_found_by_beginning_and_by_name(api: httpx.Client, run: Run, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(json.dumps(BODY))
    text = tmp_path / "tickets.txt"
    text.write_text("It does not work.\n\nNow it does.\n")
    assert run("datasets", "upload", str(text), "--name", "tickets").returncode == 0
    assert run("triggers", "create", "nightly", "--template", str(template)).returncode == 0
    trigger = api.get("/v1/triggers").json()["items"][0]["id"]
    sweep = api.post("/v1/sweeps", json={"template": BODY, "axes": {"/recipe/preset": ["fast", "best"]}}).json()["id"]
    key = api.get("/v1/keys").json()["items"][0]["id"]

    assert run("triggers", "rotate", trigger[:5]).returncode == 0
    assert run("triggers", "firings", "nightly").returncode == 0
    assert json.loads(run("sweeps", "show", "@last", "--json").stdout)["id"] == sweep
    assert run("sweeps", "cancel", sweep[:8]).stdout.startswith(f"sweep {sweep} is ")
    assert run("audit", "--key", key[:4]).returncode == 0
    assert run("datasets", "delete", "nothing").returncode == 1


def test_a_data_set_is_named_by_the_beginning_of_its_id_wherever_a_job_or_sweep_refers_to_it(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "tickets.txt"
    text.write_text("It does not work.\n\nNow it does.\n")
    dataset = run("datasets", "upload", str(text)).stdout.strip()
    short = dataset[:8]

    evaluation = ("--evaluate", short, "--require", f"perplexity:{short},at-most-increase=3")
    job = run("jobs", "submit", "gpt2", "--dataset", short, *evaluation, "--json")
    assert job.returncode == 0, job.stderr
    spec = json.loads(job.stdout)["spec"]
    found = [spec["calibration"]["dataset"], *spec["evaluation"]["perplexity"], spec["evaluation"]["require"][0]["dataset"]]
    assert {each.partition(":")[0] for each in found} == {dataset}
    assert run("jobs", "cancel", "@last").returncode == 0

    grid = run("sweeps", "create", "gpt2", "--axis", f"/calibration/dataset={short},c4-sample", "--json")
    assert grid.returncode == 0, grid.stderr
    assert json.loads(grid.stdout)["spec"]["axes"]["/calibration/dataset"][0].startswith(dataset)
    bounds = ("--from", "0.3", "--to", "0.8", "--at-most-increase", "3")
    search = run("sweeps", "create", "gpt2", "--evaluate", short, "--target", "perplexity", "--on", short, *bounds, "--json")
    assert search.returncode == 0, search.stderr
    assert json.loads(search.stdout)["spec"]["target"]["dataset"].startswith(dataset)


def test_a_key_whose_name_looks_like_an_id_is_found_by_it(run: Run) -> None:
    name = "gitlabrunner"
    assert run("keys", "create", "--name", name, "--scope", "jobs:read").returncode == 0
    assert f"({name}) is revoked" in run("keys", "revoke", name).stdout
    unknown = run("keys", "revoke", "nosuchkey123")
    assert (unknown.returncode, "there is no key nosuchkey123" in unknown.stderr) == (1, True)


def test_an_earlier_job_is_a_model_by_the_beginning_of_its_id(run: Run) -> None:
    done = run("jobs", "plan", "abcdef", "--source", "job")
    assert done.returncode == 1
    assert "there is no job abcdef" in done.stderr
