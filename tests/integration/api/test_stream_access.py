"""Streams end with the key or session that opened them: by notification if somebody ends it, by polling if its time ends it."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import update

from service.contract.scopes import Scope
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.keys import ApiKey
from service.jobs.events import repository
from service.tenants.keys.operations import revoke_key, rotate_key
from service.tenants.sessions.operations import close_all
from tests.support.api_server import client, insert_job, key_for
from tests.support.browsing import browser, csrf_token, sign_in
from tests.support.event_messages import STREAM, messages

POLL = "service.api.event_stream.POLL_SECONDS"


def id_of(key: str) -> str:
    return key.split("_")[1]


def retire(database: Database, key: str) -> None:
    rotate_key(database, id_of(key), overlap_seconds=0)


@pytest.mark.parametrize("part", ["events", "logs"])
@pytest.mark.parametrize("end", [lambda database, key: revoke_key(database, id_of(key)), retire], ids=["revoked", "rotated"])
def test_a_stream_ends_with_its_key(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch, end: Callable[[Database, str], None], part: str
) -> None:
    monkeypatch.setattr(POLL, 3600.0)  # only notifications wake the stream
    path = f"/v1/jobs/{insert_job(database, state=JobState.RUNNING)}/{part}"
    key = key_for(database, Scope.JOBS_READ)
    with client(url, key) as reader:
        with reader.stream("GET", path, headers=STREAM) as response:
            end(database, key)
            assert (response.status_code, list(messages(response))) == (200, [])
        assert reader.get(path, headers=STREAM).status_code == 401


def test_the_end_of_one_key_leaves_the_streams_of_others(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLL, 3600.0)
    job_id = insert_job(database, state=JobState.RUNNING)
    path, ended, kept = f"/v1/jobs/{job_id}/events", key_for(database, Scope.JOBS_READ), key_for(database, Scope.JOBS_READ)
    with client(url, ended) as one, client(url, kept) as other, other.stream("GET", path, headers=STREAM) as open_stream:
        with one.stream("GET", path, headers=STREAM) as response:
            revoke_key(database, id_of(ended))
            assert (response.status_code, list(messages(response))) == (200, [])
        rotate_key(database, id_of(kept), overlap_seconds=3600)
        with database.begin() as session:
            repository.append(session, job_id, EventType.BLOCK_PRUNED)
        assert next(messages(open_stream)).event == "block_pruned"


def test_a_stream_ends_with_its_session(visitor: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLL, 3600.0)
    job_id = insert_job(database, state=JobState.RUNNING)
    token = csrf_token(visitor)
    with visitor.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as response:
        assert visitor.post("/sign-out", data={"csrf_token": token}).status_code == 303
        assert (response.status_code, list(messages(response))) == (200, [])


def test_signing_out_everywhere_ends_the_streams_of_all_browsers(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLL, 3600.0)
    path, key = f"/v1/jobs/{insert_job(database, state=JobState.RUNNING)}/events", key_for(database, Scope.ADMIN)
    with browser(url) as one, browser(url) as other:
        assert [sign_in(each, key).status_code for each in (one, other)] == [303, 303]
        with one.stream("GET", path, headers=STREAM) as first, other.stream("GET", path, headers=STREAM) as second:
            close_all(database, id_of(key))
            assert (first.status_code, second.status_code, [*messages(first), *messages(second)]) == (200, 200, [])


def test_a_stream_ends_when_its_key_expires(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLL, 0.05)
    path, key = f"/v1/jobs/{insert_job(database, state=JobState.RUNNING)}/events", key_for(database, Scope.JOBS_READ)
    with client(url, key) as reader, reader.stream("GET", path, headers=STREAM) as response:
        with database.begin() as session:
            session.execute(update(ApiKey).where(ApiKey.id == id_of(key)).values(expires_at=datetime.now(UTC)))
        assert (response.status_code, list(messages(response))) == (200, [])
