"""Data sets through the API: uploaded, found again, used by jobs, deleted when no job needs them, theirs alone."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from service import streams
from service.contract import DATASETS, JobSpec, Scope
from service.database import Database
from service.datasets import repository
from service.datasets.tables import UploadedDataset
from service.jobs import operations as jobs
from service.settings import Settings
from tests.integration.job_rows import eventually
from tests.integration.serving import BODY, client, key_for, problem, serving

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
LINES = {"Content-Type": "application/jsonl"}
ABSENT = "ds-0123456789abcdef"


def upload(api: httpx.Client, content: str = "One.\n\nTwo.\n", **query: Any) -> dict[str, Any]:
    answer = api.post("/v1/datasets", content=content.encode(), headers=TEXT, params=query)
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{made['id']}"
    return made


def create(api: httpx.Client, calibration: str, *evaluation: str) -> httpx.Response:
    named = {"calibration": {"dataset": calibration}, "evaluation": {"perplexity": list(evaluation)}}
    return api.post("/v1/jobs", json=BODY | named)


def stored(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.artifact_url.removeprefix("file://")).rglob("*") if path.is_file()]


def rows(database: Database) -> list[UploadedDataset]:
    with database.begin() as session:
        return list(session.scalars(select(UploadedDataset)))


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


def test_of_many_who_send_the_same_text_at_once_one_makes_the_data_set(api: httpx.Client, database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda _: api.post("/v1/datasets", content=b"One.\n" * 10_000, headers=TEXT), range(8)))
    assert sorted(answer.status_code for answer in sent) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in sent}) == len(rows(database)) == 1


def test_built_in_data_sets_are_listed_first_then_the_newest_and_page_by_page(api: httpx.Client) -> None:
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


def test_a_built_in_data_set_is_shown_and_stays(api: httpx.Client) -> None:
    for name, known in DATASETS.items():
        shown = api.get(f"/v1/datasets/{name}").json()
        assert (shown["id"], shown["kind"], shown["splits"]) == (name, "built-in", list(known.splits))
        assert shown["created_at"] is shown["used_by_jobs"] is shown["sha256"] is None
        assert problem(api.delete(f"/v1/datasets/{name}"))[:2] == (409, "conflict")


@pytest.mark.parametrize(
    ("headers", "content", "query", "expected"),
    [
        ({}, b"a", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": "application/json"}, b"{}", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": "text/plain; charset=latin-1"}, b"a", "", (415, "unsupported-media-type", [])),
        (TEXT | {"Content-Encoding": "gzip"}, b"\x1f\x8b", "", (415, "unsupported-media-type", [])),
        ({"Content-Type": 'text/plain; format=flowed; charset="UTF-16"'}, b"a", "", (415, "unsupported-media-type", [])),
        (TEXT, b"", "", (422, "invalid-input", [""])),
        (TEXT, b"one\n\xff", "", (422, "invalid-input", [""])),
        (LINES, b'{"text": "a"}\n{"txt": "b"}\n', "", (422, "invalid-input", [""])),
        (TEXT, b"a", "?nmae=x", (422, "invalid-input", ["nmae"])),
        (TEXT, b"a", "?name=", (422, "invalid-input", ["name"])),
        (TEXT, b"a", f"?name={'x' * 65}", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%0Ab", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%00", (422, "invalid-input", ["name"])),
        (TEXT, b"a", "?name=a%E2%80%AEb", (422, "invalid-input", ["name"])),
    ],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(
    api: httpx.Client,
    settings: Settings,
    database: Database,
    headers: dict[str, str],
    content: bytes,
    query: str,
    expected: tuple[int, str, list[str]],
) -> None:
    assert problem(api.post(f"/v1/datasets{query}", content=content, headers=headers)) == expected
    assert (rows(database), stored(settings)) == ([], [])


@pytest.fixture
def small(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A service that takes uploads of a million bytes, and little of them together."""
    limits = {"max_dataset_bytes": 1_000_000, "max_datasets_bytes": 1_500_000}
    with serving(settings.model_copy(update=limits)) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def test_a_long_body_is_refused_with_and_without_its_length(small: httpx.Client, settings: Settings) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"word " * 20_000 + b"\n\n"

    for body in (b"x\n\n" * 400_000, endless()):
        assert problem(small.post("/v1/datasets", content=body, headers=TEXT))[:2] == (413, "body-too-large")
    assert stored(settings) == []
    upload(small, "x" * 999_000)


def test_a_body_of_any_other_route_is_as_short_as_before(api: httpx.Client) -> None:
    for path in ("/v1/jobs", "/v1/datasets/", f"/v1/datasets/{ABSENT}"):
        answer = api.post(path, content=b"x" * 70_000, headers=TEXT)
        assert problem(answer)[:2] == (413, "body-too-large")


@contextmanager
def connection(api: httpx.Client, *headers: str) -> Iterator[socket.socket]:
    """An upload that has been begun by hand."""
    head = ["POST /v1/datasets HTTP/1.1", "Host: x", f"Authorization: {api.headers['authorization']}", "Content-Type: text/plain"]
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=10) as opened:
        opened.sendall("\r\n".join([*head, *headers, "", ""]).encode())
        yield opened


def test_who_asks_before_sending_is_told_to_go_on_or_why_not(small: httpx.Client) -> None:
    with connection(small, "Content-Length: 4", "Expect: 100-continue") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
        opened.sendall(b"word")
        assert opened.recv(100).startswith(b"HTTP/1.1 201 ")
    with connection(small, "Content-Length: 1000001", "Expect: 100-continue") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 413 ")
    with connection(small, "Content-Length: 4", "Expect: 100-continue", "Content-Encoding: br") as opened:
        assert opened.recv(100).startswith(b"HTTP/1.1 415 ")


def test_a_caller_who_leaves_in_the_middle_leaves_nothing(api: httpx.Client, settings: Settings, database: Database) -> None:
    for _ in range(3):
        with connection(api, "Content-Length: 1000000") as opened:
            opened.sendall(b"word\n" * 100_000)
    with connection(api, "Transfer-Encoding: chunked") as opened:
        opened.sendall(b"4\r\nword\r\n")
    assert upload(api)["documents"] == 2
    assert len(rows(database)) == len(stored(settings)) == 1


def test_so_many_upload_at_once_and_no_more(settings: Settings, database: Database) -> None:
    with serving(settings.model_copy(update={"max_uploads": 1})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        with connection(api, "Content-Length: 8", "Expect: 100-continue") as opened:
            assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
            answer = api.post("/v1/datasets", content=b"a", headers=TEXT)
            assert problem(answer)[:2] == (503, "unavailable")
            assert answer.headers["retry-after"]
        eventually(lambda: api.post("/v1/datasets", content=b"a", headers=TEXT).status_code == 201, seconds=10)


def test_a_caller_who_falls_silent_is_not_waited_for(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_SILENCE_SECONDS", 0.2)
    with connection(api, "Content-Length: 10") as opened:
        opened.sendall(b"word")
        assert opened.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_tenants_data_sets_are_bounded_together(small: httpx.Client, database: Database, settings: Settings) -> None:
    first = upload(small, "a" * 900_000)
    answer = small.post("/v1/datasets", content=b"b" * 900_000, headers=TEXT)
    assert problem(answer)[:2] == (409, "dataset-quota-exceeded")
    assert upload(small, "a" * 900_000) == first
    assert len(stored(settings)) == 1
    with client(str(small.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        upload(stranger, "b" * 900_000)
    small.delete(f"/v1/datasets/{first['id']}")
    upload(small, "b" * 900_000)


def test_a_store_that_is_away_is_told_and_nothing_is_written_down(settings: Settings, database: Database) -> None:
    store = Path(settings.artifact_url.removeprefix("file://"))
    with serving(settings) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        store.rmdir()
        store.write_bytes(b"no folder")
        assert problem(api.post("/v1/datasets", content=b"a", headers=TEXT))[:2] == (503, "unavailable")
        store.unlink()
        store.mkdir()
    assert rows(database) == []


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


def test_a_job_that_names_no_upload_of_its_tenant_is_refused_with_the_place(api: httpx.Client, database: Database) -> None:
    made = upload(api)
    pointers = ["/calibration/dataset", "/evaluation/perplexity/1"]
    assert problem(create(api, ABSENT, made["id"], ABSENT)) == (422, "invalid-input", pointers)
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        assert problem(create(stranger, "c4", "wikitext2", made["id"])) == (422, "invalid-input", pointers[1:])
    assert problem(create(api, f"{made['id']}:all", made["id"])) == (422, "invalid-input", ["/evaluation/perplexity"])
    assert api.get("/v1/jobs").json()["items"] == []


def test_an_upload_is_deleted_once_its_jobs_have_ended_and_can_come_again(api: httpx.Client) -> None:
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
def test_what_is_not_there_is_not_found(api: httpx.Client, dataset_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert problem(api.request(method, f"/v1/datasets/{dataset_id}"))[:2] == (404, "not-found")


def test_another_tenants_upload_is_not_there(api: httpx.Client, database: Database) -> None:
    made = upload(api)
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as stranger:
        for method in ("GET", "DELETE"):
            assert problem(stranger.request(method, f"/v1/datasets/{made['id']}"))[:2] == (404, "not-found")
        assert [each["id"] for each in stranger.get("/v1/datasets").json()["items"]] == list(DATASETS)
        assert upload(stranger)["id"] == made["id"]
        assert stranger.delete(f"/v1/datasets/{made['id']}").status_code == 204
    assert api.get(f"/v1/datasets/{made['id']}").status_code == 200


def test_readers_may_look_and_nothing_else(api: httpx.Client, database: Database) -> None:
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
            eventually(lambda: someone_waits(database), seconds=10)
        assert problem(deletion.result())[:2] == (409, "conflict")


def test_a_creation_waits_for_a_deletion_of_what_it_names(api: httpx.Client, database: Database) -> None:
    made = upload(api)["id"]
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as session:
            row = repository.get(session, made, tenant="acme", lock=True)
            assert row is not None
            repository.mark_deleted(session, row.upload_id)
            creation = pool.submit(create, api, made)
            eventually(lambda: someone_waits(database), seconds=10)
        assert problem(creation.result()) == (422, "invalid-input", ["/calibration/dataset"])
