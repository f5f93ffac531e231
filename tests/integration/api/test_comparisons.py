"""Jobs side by side over HTTP, with both clients and on the command line."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.client import Client, NotFound
from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Layer
from tests.support import fork_server
from tests.support.api_server import BODY, client, insert_job, key_for, problem
from tests.support.browsing import browser, sign_in
from tests.support.html_pages import Parsed
from tests.support.job_examples import filled

ROOT = Path(__file__).parents[3]


def metrics(perplexity: float) -> dict[str, Any]:
    how = {"dataset": "wiki-sample:test", "sequence_length": 512, "windows": 20, "tokens": 10_220, "mean_nll": 3.0}
    difference = {"mean": math.log(perplexity / 14.0), "standard_error": 0.01, "ci95": None}
    return {
        "dense": {"perplexity": [how | {"perplexity": 14.0}]},
        "pruned": {
            "perplexity": [
                how | {"perplexity": perplexity, "ci95": [perplexity - 1, perplexity + 1]} | {"loss_difference": difference}
            ]
        },
        "sparsity": 0.5,
        "bytes": 1000,
        "weight_bytes": {"dense": 900, "packed": 500, "mask": None, "zstd": 450},
        "seconds": {"pruning": 3.25, "evaluating": 1.5},
    }


def finished(database: Database, sparsity: float, perplexity: float, *, tenant: str = "acme") -> UUID:
    """A job with two blocks of two matrices of different sizes."""
    recipe = {"pattern": {"type": "unstructured", "sparsity": sparsity}}
    spec = JobSpec.model_validate(BODY | {"recipe": recipe}).model_dump(mode="json")
    job_id = insert_job(database, tenant=tenant, state=JobState.SUCCEEDED, spec=spec, metrics=metrics(perplexity))
    with database.begin() as session:
        for position, (rows, share, mask) in enumerate([(50_000, 0.5, 0.03), (150_000, 0.7, None), (2, 0.5, 0.1), (2, 0.5, 0.3)]):
            session.add(
                Layer(
                    job_id=job_id,
                    position=position,
                    name=f"m{position}",
                    block=position // 2,
                    rows=rows,
                    columns=50_000,
                    sparsity=share,
                    error_start=0.1 * (position + 1),
                    error_mask=mask,
                    error=0.05 * (position + 1),
                    swaps=position,
                    seconds=1.0,
                )
            )
    return job_id


@pytest.fixture
def pair(database: Database) -> tuple[UUID, UUID]:
    return finished(database, 0.6, 30.0), finished(database, 0.5, 20.0)


def compare(api: httpx.Client, *ids: object) -> httpx.Response:
    return api.get("/v1/jobs/compare", params={"ids": [str(each) for each in ids]})


def test_jobs_are_compared_in_the_order_of_the_request(api: httpx.Client, pair: tuple[UUID, UUID]) -> None:
    for a, b in (pair, pair[::-1]):
        found = compare(api, a, b).json()
        assert [job["id"] for job in found["jobs"]] == [str(a), str(b)]
        values = [0.6, 0.5] if a == pair[0] else [0.5, 0.6]
        assert found["differences"] == [{"pointer": "/recipe/pattern/sparsity", "values": values}]
        line = next(each for each in found["measures"] if (each["model"], each["name"]) == ("pruned", "perplexity"))
        assert line["conditions"] == {"sequence_length": 512, "windows": 20, "tokens": 10_220}
        assert (line["on"], line["better"], line["best"], line["tied"]) == ("wiki-sample:test", "lower", [str(pair[1])], [])
        assert line["intervals"][found["jobs"].index(next(job for job in found["jobs"] if job["id"] == str(pair[1])))] == [
            19.0,
            21.0,
        ]
        sizes = next(each for each in found["measures"] if each["name"] == "artifact_bytes")
        assert (sizes["best"], sizes["tied"]) == ([], [str(a), str(b)]), "equal sizes tie"
    first = found["jobs"][0]
    assert (first["state"], first["sparsity"], first["bytes"], first["seconds"]) == ("succeeded", 0.5, 1000, 4.75)
    assert first["weight_bytes"]["packed"] == 500
    assert first["metrics"] == metrics(20.0)


def test_blocks_are_reported_as_the_engine_sums_them_up(api: httpx.Client, pair: tuple[UUID, UUID]) -> None:
    """Sparsity is weighted by the matrices' sizes, which are beyond 32 bits; errors are plain means."""
    first, second = compare(api, *pair).json()["jobs"][0]["blocks"]
    assert (first["block"], first["matrices"], first["swaps"], second["swaps"]) == (0, 2, 1, 5)
    assert first["sparsity"] == pytest.approx((0.5 * 50 + 0.7 * 150) / 200)
    assert (first["error_start"], first["error_mask"], first["error"]) == pytest.approx((0.15, 0.03, 0.075))
    assert second["error_mask"] == pytest.approx(0.2)


def test_a_job_that_has_just_started_can_be_compared(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    young = insert_job(database)
    found = compare(api, pair[0], young).json()
    assert (found["jobs"][1]["state"], found["jobs"][1]["metrics"], found["jobs"][1]["blocks"]) == ("queued", None, [])
    assert all(each["values"][1] is None and each["best"] == [] for each in found["measures"])
    assert str(young) in found["warnings"][0]


def test_different_models_are_compared_with_a_warning(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    spec = JobSpec.model_validate({"model": {"id": "org/other"}}).model_dump(mode="json")
    other = insert_job(database, state=JobState.SUCCEEDED, spec=spec, model="org/other", metrics=metrics(9.0))
    assert any("tokenizer" in each for each in compare(api, pair[0], other).json()["warnings"])
    assert compare(api, *pair).json()["warnings"] == []


def test_an_unknown_job_is_named(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    unknown, foreign = uuid4(), finished(database, 0.5, 1.0, tenant="other")
    for missing in (unknown, foreign):
        answer = compare(api, pair[0], missing, pair[1])
        assert problem(answer)[:2] == (404, "not-found")
        assert str(missing) in answer.json()["detail"]


def test_the_number_of_jobs_is_limited(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    a, b = map(str, pair)
    most = [str(insert_job(database)) for _ in range(50)]
    assert compare(api, *most).status_code == 200
    for wrong, said in (
        ((a, a), "twice"),
        ((a, a.upper()), "twice"),
        ((a,), "1 job"),
        ((*most, a), "51 jobs"),
        ((f"{a},{b}",), "ids=A&ids=B"),
        ((a, "x"), "ids=A&ids=B"),
    ):
        answer = compare(api, *wrong)
        status, kind, pointers = problem(answer)
        assert (status, kind, set(pointers)) == (422, "invalid-input", {"ids"}), wrong
        assert said in answer.json()["detail"]
    assert problem(api.get("/v1/jobs/compare"))[2] == ["ids"]


@pytest.mark.parametrize("method", ["DELETE", "PUT", "POST"])
def test_a_comparison_is_read_only(api: httpx.Client, pair: tuple[UUID, UUID], method: str) -> None:
    answer = api.request(method, "/v1/jobs/compare", params={"ids": list(map(str, pair))})
    assert problem(answer)[:2] == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET"


def test_a_key_that_may_read_jobs_may_compare_them(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    for scope, status in ((Scope.JOBS_READ, 200), (Scope.JOBS_WRITE, 403), (Scope.ARTIFACTS_READ, 403)):
        with client(str(api.base_url), key_for(database, scope)) as caller:
            assert compare(caller, *pair).status_code == status


def test_the_client_returns_typed_results(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    with Client(str(api.base_url), key_for(database, Scope.JOBS_READ)) as dsnot:
        found = dsnot.jobs.compare([str(each) for each in pair])
        assert found.jobs[0].metrics is not None
        assert found.jobs[0].metrics.pruned is not None
        assert found.jobs[0].metrics.pruned.perplexity[0].perplexity == 30.0
        assert found.jobs[1].blocks[1].swaps == 5
        with pytest.raises(NotFound):
            dsnot.jobs.compare([str(pair[0]), str(uuid4())])


def test_gates_are_compared_in_words(api: httpx.Client, database: Database) -> None:
    gates = [{"metric": "perplexity", "at_most_increase": 0.3}, {"metric": "kl_divergence", "at_most": 0.5}]
    pair = [str(insert_job(database, spec=filled(evaluation={"require": each}))) for each in (gates, [])]
    words = "perplexity at most 30 % above the dense model's, KL divergence at most 0.5"
    key = key_for(database, Scope.JOBS_READ)
    values = {"DSNOT_URL": str(api.base_url), "DSNOT_API_KEY": key, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    assert words in fork_server.run(["service.cli", "jobs", "compare", *pair], values).stdout
    with browser(str(api.base_url)) as person:
        sign_in(person, key)
        shown = Parsed(person.get("/compare", params={"ids": pair}).text).text
    assert words in shown
    assert "evaluation.require" in shown


def test_the_command_prints_a_column_for_each_job(api: httpx.Client, database: Database, pair: tuple[UUID, UUID]) -> None:
    values = {"DSNOT_URL": str(api.base_url), "DSNOT_API_KEY": key_for(database, Scope.JOBS_READ), "PYTHONPATH": str(ROOT)}

    def dsnot(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return fork_server.run(["service.cli", "jobs", "compare", *arguments], values)

    a, b = map(str, pair)
    shown = {line.split("  ")[0].strip(): line for line in dsnot(a, b).stdout.splitlines()}
    assert shown["recipe.pattern.sparsity"].split()[1:] == ["0.6", "0.5"]
    line = next(line for title, line in shown.items() if title.startswith("pruned perplexity on wiki-sample:test"))
    assert line.split()[-7:] == ["30.00", "±", "1.000", "20.00", "±", "1.000", "*"]
    assert json.loads(dsnot(a, b, "--json").stdout)["jobs"][1]["id"] == b
    refused = dsnot(a, a)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "twice" in refused.stderr
