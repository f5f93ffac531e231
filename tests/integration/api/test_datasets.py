"""Data sets through the API: uploaded, found again, used by jobs, deleted when no job needs them, theirs alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from service.contract.datasets import DATASETS
from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.database.engine import Database
from service.datasets import repository
from service.jobs import operations as jobs
from service.settings import Settings
from tests.support.api_server import BODY, client, key_for, problem
from tests.support.dataset_uploads import LINES, TEXT, rows, stored, upload
from tests.support.waiting import eventually

ABSENT = "ds-0123456789abcdef"


def create(api: httpx.Client, calibration: str, *evaluation: str) -> httpx.Response:
    named = {"calibration": {"dataset": calibration}, "evaluation": {"perplexity": list(evaluation)}}
    return api.post("/v1/jobs", json=BODY | named)


def test_an_upload_is_counted_hashed_and_found_again(api: httpx.Client, settings: Settings) -> None:
    made = upload(api, "One ä.\r\n\r\nTwo.", name="mine")
    (file,) = stored(settings)
    assert file.read_text(encoding="utf-8") == '{"text":"One ä."}\n{"text":"Two."}\n'
    assert (made["bytes"], made["documents"], made["characters"]) == (len(file.read_bytes()), 2, 10)
    assert made["id"] == f"ds-{made['sha256'][:16]}"
    assert (made["name"], made["kind"], made["used_by_jobs"]) == ("mine", "upload", 0)
    assert made["splits"] == ["train", "test", "all"]
    assert api.get(f"/v1/datasets/{made['id']}").json() == made
    assert api.get("/v1/datasets").json()["items"][-1] == made


def test_the_same_documents_again_are_the_same_data_set(api: httpx.Client, settings: Settings) -> None:
    made = upload(api)
    assert made["name"] == made["id"]
    again = api.post("/v1/datasets?name=other", content=b'{"text": "One."}\n{"text": "Two."}', headers=LINES)
    assert (again.status_code, again.json()) == (200, made)
    assert len(stored(settings)) == 1


def test_concurrent_uploads_of_one_text_make_one_data_set(api: httpx.Client, database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:  # the share of a tenant
        sent = list(pool.map(lambda _: api.post("/v1/datasets", content=b"One.\n" * 10_000, headers=TEXT), range(8)))
    assert sorted(answer.status_code for answer in sent) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in sent}) == len(rows(database)) == 1


def test_built_in_data_sets_come_first_then_the_newest_in_pages(api: httpx.Client) -> None:
    made = [upload(api, f"Text {number}")["id"] for number in range(5)]
    wanted = [*DATASETS, *reversed(made)]
    for limit in (1, 2, 4, 5, 9, 100):
        seen: list[str] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            page = api.get("/v1/datasets", params=query).json()
            assert 0 < len(page["items"]) <= limit
            seen += [each["id"] for each in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert seen == wanted
    assert problem(api.get("/v1/datasets", params={"cursor": "x"})) == (422, "invalid-input", ["cursor"])


def test_a_built_in_data_set_is_shown_and_cannot_be_deleted(api: httpx.Client) -> None:
    for name, known in DATASETS.items():
        shown = api.get(f"/v1/datasets/{name}").json()
        assert (shown["id"], shown["kind"], shown["splits"]) == (name, "built-in", list(known.splits))
        assert shown["created_at"] is shown["used_by_jobs"] is shown["sha256"] is None
        assert problem(api.delete(f"/v1/datasets/{name}"))[:2] == (409, "conflict")


def test_a_job_names_an_upload_and_keeps_it(api: httpx.Client) -> None:
    made = upload(api)
    answer = create(api, made["id"], "wikitext2", made["id"])
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["spec"]["calibration"]["dataset"] == f"{made['id']}:train"
    assert job["spec"]["evaluation"]["perplexity"] == ["wikitext2:test", f"{made['id']}:test"]
    assert api.post("/v1/jobs", json=job["spec"]).status_code == 201
    assert api.get(f"/v1/datasets/{made['id']}").json()["used_by_jobs"] == 2
    assert api.get("/v1/datasets").json()["items"][-1]["used_by_jobs"] == 2
    refused = api.delete(f"/v1/datasets/{made['id']}")
    assert problem(refused)[:2] == (409, "conflict")
    assert job["id"] in refused.json()["detail"]


def test_a_job_with_an_unknown_upload_is_refused_with_a_pointer(api: httpx.Client, database: Database) -> None:
    made = upload(api)
    pointers = ["/calibration/dataset", "/evaluation/perplexity/1"]
    assert problem(create(api, ABSENT, made["id"], ABSENT)) == (422, "invalid-input", pointers)
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        assert problem(create(stranger, "c4", "wikitext2", made["id"])) == (422, "invalid-input", pointers[1:])
    assert problem(create(api, f"{made['id']}:all", made["id"])) == (422, "invalid-input", ["/evaluation/perplexity"])
    assert api.get("/v1/jobs").json()["items"] == []


def test_an_upload_is_deleted_after_its_jobs_and_can_be_repeated(api: httpx.Client) -> None:
    made = upload(api)
    job = create(api, made["id"]).json()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    path = f"/v1/datasets/{made['id']}"
    assert api.delete(path).status_code == 204
    assert problem(api.delete(path))[:2] == problem(api.get(path))[:2] == (404, "not-found")
    assert [each["id"] for each in api.get("/v1/datasets").json()["items"]] == list(DATASETS)
    assert problem(create(api, made["id"])) == (422, "invalid-input", ["/calibration/dataset"])
    assert problem(api.post(f"/v1/jobs/{job['id']}/retry")) == (422, "invalid-input", ["/calibration/dataset"])
    assert upload(api)["id"] == made["id"]
    assert api.post(f"/v1/jobs/{job['id']}/retry").status_code == 201
    assert problem(api.delete(path))[:2] == (409, "conflict")


@pytest.mark.parametrize("dataset_id", [ABSENT, "nothing", "c5", "ds-%00", "ds-" + "x" * 5000, "..%2Fjobs"])
def test_an_unknown_data_set_is_not_found(api: httpx.Client, dataset_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert problem(api.request(method, f"/v1/datasets/{dataset_id}"))[:2] == (404, "not-found")


def test_another_tenants_upload_is_not_found(api: httpx.Client, database: Database) -> None:
    made = upload(api)
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        for method in ("GET", "DELETE"):
            assert problem(stranger.request(method, f"/v1/datasets/{made['id']}"))[:2] == (404, "not-found")
        assert [each["id"] for each in stranger.get("/v1/datasets").json()["items"]] == list(DATASETS)
        assert upload(stranger)["id"] == made["id"]
        assert stranger.delete(f"/v1/datasets/{made['id']}").status_code == 204
    assert api.get(f"/v1/datasets/{made['id']}").status_code == 200


def test_read_only_keys_cannot_change_anything(api: httpx.Client, database: Database) -> None:
    made = upload(api)
    with client(str(api.base_url), key_for(database, Scope.JOBS_READ)) as reader:
        assert reader.get(f"/v1/datasets/{made['id']}").status_code == 200
        assert problem(reader.post("/v1/datasets", content=b"a", headers=TEXT))[:2] == (403, "forbidden")
        assert problem(reader.delete(f"/v1/datasets/{made['id']}"))[:2] == (403, "forbidden")
    with client(str(api.base_url), None) as nobody:
        assert problem(nobody.post("/v1/datasets", content=b"a", headers=TEXT))[:2] == (401, "unauthenticated")


def someone_waits(database: Database) -> bool:
    with database.begin() as session:
        return bool(session.scalars(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).one())


def test_a_deletion_waits_for_a_job_that_is_being_created(api: httpx.Client, settings: Settings, database: Database) -> None:
    made = upload(api)["id"]
    spec = JobSpec.model_validate(BODY | {"calibration": {"dataset": made}})
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as session:
            jobs.add(session, settings, spec, tenant="acme")
            deletion = pool.submit(api.delete, f"/v1/datasets/{made}")
            eventually(lambda: someone_waits(database))
        assert problem(deletion.result())[:2] == (409, "conflict")


def test_a_creation_waits_for_the_deletion_of_its_data_set(api: httpx.Client, database: Database) -> None:
    made = upload(api)["id"]
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as session:
            row = repository.get(session, made, tenant="acme", lock=True)
            assert row is not None
            repository.mark_deleted(session, row.upload_id)
            creation = pool.submit(create, api, made)
            eventually(lambda: someone_waits(database))
        assert problem(creation.result()) == (422, "invalid-input", ["/calibration/dataset"])
