"""`Idempotency-Key`: whatever is lost, sent twice or breaks, there is one job, and everybody learns of the same."""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select, text, update

from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.idempotency import KeyedAnswer
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support.api_server import BODY, client, key_for, problem, serving
from tests.support.local_models import CONFIG, LOCAL, make_model
from tests.support.waiting import CEILING_SECONDS, eventually

HEADER = "Idempotency-Key"


def create(api: httpx.Client, key: str, body: dict[str, Any] = BODY) -> httpx.Response:
    return api.post("/v1/jobs", json=body, headers={HEADER: key})


def count(database: Database, table: type = Job) -> int:
    with database.begin() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def same_answer(first: httpx.Response, again: httpx.Response) -> None:
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert {name: again.headers[name] for name in ("location", "etag", "content-type")} == {
        name: first.headers[name] for name in ("location", "etag", "content-type")
    }
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")


def test_a_repeated_request_gets_the_same_response_and_job(api: httpx.Client, database: Database) -> None:
    first = create(api, "k-1", BODY | {"labels": {"b": "2", "a": "ä"}})
    same_answer(first, create(api, "k-1", BODY | {"labels": {"b": "2", "a": "ä"}}))
    read = api.get(first.headers["location"]).json()
    assert first.json() == read | {"queue_position": None, "eta": None, "warnings": first.json()["warnings"]}
    assert set(read["warnings"]) <= set(first.json()["warnings"])
    assert count(database) == 1


def test_the_stored_response_is_replayed_after_the_job_changed(api: httpx.Client) -> None:
    first = create(api, "k")
    api.post(f"{first.headers['location']}/cancel")
    same_answer(first, create(api, "k"))
    assert api.delete(first.headers["location"]).status_code == 204
    same_answer(first, create(api, "k"))


def test_whitespace_and_member_order_do_not_change_the_request(api: httpx.Client, database: Database) -> None:
    def send(body: str) -> httpx.Response:
        return api.post("/v1/jobs", content=body, headers={HEADER: "k", "Content-Type": "application/json"})

    first = send('{"model": {"id": "a/b", "source": "hub"}, "priority": 1}')
    same_answer(first, send('\n{"priority":1,\t"model":{"source":"\\u0068ub","id":"a/b"}}'))
    assert count(database) == 1


def test_a_key_is_equal_with_and_without_quotes(api: httpx.Client, database: Database) -> None:
    first = create(api, "8e03978e-40d5-43dd-bc93-6894a57f9324")
    same_answer(first, create(api, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'))
    assert count(database) == 1


def test_a_different_request_under_the_key_is_refused(api: httpx.Client, database: Database) -> None:
    first = create(api, "k")
    refused = create(api, "k", BODY | {"priority": 1})
    assert problem(refused) == (422, "idempotency-key-reused", [HEADER])
    same_answer(first, create(api, "k"))
    assert count(database) == 1


def test_keys_are_scoped_to_the_tenant(api: httpx.Client, database: Database) -> None:
    mine = create(api, "k")
    with client(str(api.base_url), key_for(database, Scope.ADMIN, tenant="other")) as other:
        theirs = create(other, "k", BODY | {"priority": 1})
        assert theirs.status_code == 201
        same_answer(theirs, create(other, "k", BODY | {"priority": 1}))
    with client(str(api.base_url), key_for(database, Scope.JOBS_WRITE)) as colleague:
        same_answer(mine, create(colleague, "k"))


def test_without_a_key_every_request_is_separate(api: httpx.Client, database: Database) -> None:
    assert api.post("/v1/jobs", json=BODY).json()["id"] != api.post("/v1/jobs", json=BODY).json()["id"]
    assert (count(database), count(database, KeyedAnswer)) == (2, 0)


def test_a_refused_request_can_be_corrected_under_its_key(settings: Settings, database: Database) -> None:
    with serving(settings.model_copy(update={"max_queued_jobs": 1})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        assert problem(create(api, "k", BODY | {"priority": 10}))[0] == 422
        assert problem(create(api, "k", {"model": {"source": "local", "id": "nowhere"}}))[:2] == (422, "model-not-found")
        assert create(api, "k").status_code == 201
        full = create(api, "later")
        assert problem(full)[:2] == (429, "quota-exceeded")
        assert count(database, KeyedAnswer) == 1
        api.post("/v1/jobs/{id}/cancel".format(**create(api, "k").json()))
        assert create(api, "later").status_code == 201


def test_a_replay_succeeds_where_a_new_request_would_fail(settings: Settings, database: Database) -> None:
    make_model(settings.model_root, "org/tiny", CONFIG)
    with serving(settings.model_copy(update={"max_queued_jobs": 1})) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        first = create(api, "k", LOCAL)
        shutil.rmtree(settings.model_root / "org")
        assert problem(create(api, "other", LOCAL))[:2] == (422, "model-not-found")
        assert problem(create(api, "other"))[:2] == (429, "quota-exceeded")
        same_answer(first, create(api, "k", LOCAL))


@pytest.mark.parametrize("key", ["", '"', '""', '"open', '"a";p=1', "a\tb", "kä", "k" * 256, f'"{"k" * 256}"'])
def test_an_invalid_key_is_refused(api: httpx.Client, database: Database, key: str) -> None:
    answer = api.post("/v1/jobs", json=BODY, headers=[(HEADER.encode(), key.encode("latin-1"))])
    assert problem(answer) == (422, "invalid-input", [HEADER])
    assert "1 to 255 printable" in answer.json()["detail"]
    assert count(database) == 0


def test_two_keys_are_refused(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs", json=BODY, headers=[(HEADER, "a"), (HEADER, "b")])
    assert problem(answer) == (422, "invalid-input", [HEADER])
    assert problem(api.post("/v1/jobs", headers={HEADER: "a"})) == (422, "invalid-input", [""]), "no body at all"


def test_a_key_expires_after_a_day_of_database_time(api: httpx.Client, database: Database) -> None:
    def age(**by: float) -> None:
        with database.begin() as session:
            session.execute(update(KeyedAnswer).values(created_at=func.now() - timedelta(**by)))

    first = create(api, "k")
    age(hours=23, minutes=59)
    same_answer(first, create(api, "k"))
    age(hours=24, seconds=1)
    second = create(api, "k", BODY | {"priority": 1})
    assert second.status_code == 201
    same_answer(second, create(api, "k", BODY | {"priority": 1}))
    assert (count(database), count(database, KeyedAnswer)) == (2, 1)


def test_a_hundred_concurrent_requests_make_one_job(api: httpx.Client, database: Database) -> None:
    barrier = threading.Barrier(100)

    def send(_: int) -> httpx.Response:
        barrier.wait()
        return create(api, "k")

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(send, range(100)))
    kinds = {(answer.status_code, answer.json().get("code")) for answer in answers}
    assert kinds <= {(201, None), (409, "idempotency-in-flight")}
    assert len([answer for answer in answers if answer.is_success and "idempotency-replayed" not in answer.headers]) == 1
    final = [answer if answer.is_success else create(api, "k") for answer in answers]
    assert len({answer.content for answer in final}) == 1
    assert {answer.headers["location"] for answer in final} == {f"/v1/jobs/{final[0].json()['id']}"}
    assert (count(database), count(database, KeyedAnswer)) == (1, 1)


@contextmanager
def held_before_its_end(database: Database, api: httpx.Client, key: str) -> "Iterator[Future[httpx.Response]]":
    """A creation whose transaction has written all but its answer, and waits until the block ends: another one has its place."""
    place = {"fingerprint": b"", "status": 0, "headers": {}, "body": ""}
    with ThreadPoolExecutor(1) as thread:
        with database.engine.connect() as connection:  # whose transaction comes to nothing
            connection.execute(insert(KeyedAnswer).values(tenant="acme", key=key, **place))
            running = thread.submit(create, api, key)
            eventually(lambda: waiting(database) or running.done())
            yield running
        running.result()


def waiting(database: Database) -> list[int]:
    """The connections that wait for the end of another one's transaction."""
    with database.begin() as session:
        return list(session.scalars(text("SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")))


def test_a_repeat_during_the_first_request_gets_retry_after(api: httpx.Client, database: Database) -> None:
    with held_before_its_end(database, api, "k") as first:
        second = create(api, "k")
        assert problem(second)[:2] == (409, "idempotency-in-flight")
        assert second.headers["retry-after"] == "1"
    if first.result().is_success:  # it may have waited for so long that it was given up
        same_answer(first.result(), create(api, "k"))
    assert create(api, "k").status_code == 201
    assert count(database) == 1


def test_a_crash_before_the_commit_leaves_neither_job_nor_key(api: httpx.Client, database: Database) -> None:
    with held_before_its_end(database, api, "k") as first:
        with database.begin() as session:
            for pid in waiting(database):
                session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        assert problem(first.result(CEILING_SECONDS))[:2] == (503, "unavailable")
    assert (count(database), count(database, KeyedAnswer)) == (0, 0)
    again = create(api, "k")
    assert (again.status_code, count(database)) == (201, 1)
    same_answer(again, create(api, "k"))


@pytest.mark.parametrize("sent", ["half", "whole"])
def test_a_client_that_lost_its_connection_can_repeat_safely(api: httpx.Client, database: Database, sent: str) -> None:
    body, key = json.dumps(BODY).encode(), str(uuid4())
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {api.headers['authorization']}\r\n{HEADER}: {key}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(5):
        with socket.create_connection((api.base_url.host, api.base_url.port or 80)) as connection:
            connection.sendall(request if sent == "whole" else request[: -len(body) // 2])
    answer = eventually(lambda: (found := create(api, key)).is_success and found)
    assert isinstance(answer, httpx.Response)
    assert api.get(answer.headers["location"]).status_code == 200
    assert count(database) == 1
