"""One-time links to the dashboard: what creates one, what it opens, and when it no longer does."""

import logging
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import func, select, update

from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.audit import AuditEntry
from service.database.tables.sessions import BrowserSession, SignInLink
from service.dispatcher.garbage_collection import GarbageCollector
from service.settings import Settings
from service.tenants.keys import operations as keys
from service.tenants.keys.operations import create_key
from tests.support.api_server import key_for, problem, serving
from tests.support.browsing import COOKIE, browser, changing, sign_in

PAGE = "/sign-in/link"


@pytest.fixture
def key(database: Database) -> str:
    return key_for(database, Scope.JOBS_READ)


def create(url: str, key: str) -> httpx.Response:
    return httpx.post(f"{url}/v1/sessions/links", headers={"Authorization": f"Bearer {key}"})


def token_of(url: str, key: str) -> str:
    answer = create(url, key)
    assert answer.status_code == 200, answer.text
    path, _, token = answer.json()["path"].partition("#")
    assert path == PAGE
    return str(token)


def use(browser: httpx.Client, token: str, **headers: str) -> httpx.Response:
    return browser.post(PAGE, data={"token": token}, headers=headers)


def test_a_link_signs_in_once_with_the_scopes_of_its_key(url: str, key: str, database: Database) -> None:
    token = token_of(url, key)
    with browser(url) as first, browser(url) as second:
        answer = use(first, token)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert all(part in answer.headers["set-cookie"] for part in ("HttpOnly", "SameSite=lax"))
        assert first.get("/").status_code == 200
        assert problem(first.post("/v1/jobs", json={}, headers=changing(first)))[:2] == (403, "forbidden")
        again = use(second, token)
        assert again.status_code == 401
        assert "has been used" in again.text
        assert COOKIE not in second.cookies
    with database.begin() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.created_at)).all()
        assert session.scalars(select(SignInLink)).all() == []
    actions = [(each.action, each.status) for each in entries]
    assert actions[:2] == [("create_sign_in_link", 200), ("sign_in_with_link", 303)]
    assert {each.key_id for each in entries} == {key.split("_")[1]}


def test_opening_the_address_uses_nothing_up(url: str, key: str) -> None:
    token = token_of(url, key)
    with browser(url) as visitor:
        for _ in range(3):
            shown = visitor.get(PAGE)
            assert shown.status_code == 200
            assert "set-cookie" not in shown.headers
        assert visitor.get(f"{PAGE}?token={token}").headers.get("set-cookie") is None
        assert use(visitor, token).status_code == 303


def test_of_concurrent_uses_one_signs_in(url: str, key: str, database: Database) -> None:
    token = token_of(url, key)

    def status(_: int) -> int:
        with browser(url) as visitor:
            return use(visitor, token).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(status, range(8))) == [303, *[401] * 7]
    with database.begin() as session:
        assert session.execute(select(func.count()).select_from(BrowserSession)).scalar_one() == 1


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "<script>", "\x00"])
def test_an_unknown_token_is_refused_and_not_echoed(url: str, key: str, token: str) -> None:
    with browser(url) as visitor:
        answer = use(visitor, token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert len(token) < 8 or token not in answer.text.replace("<script type", "")


def test_a_link_expires_and_is_deleted(url: str, key: str, database: Database, settings: Settings) -> None:
    token = token_of(url, key)
    GarbageCollector(settings).sweep()
    with database.begin() as session:
        link = session.scalars(select(SignInLink)).one()
        seconds = (link.expires_at - session.execute(select(func.now())).scalar_one()).total_seconds()
        assert 0 < seconds <= 60
        assert token.encode() not in link.token_sha256
        session.execute(update(SignInLink).values(expires_at=func.now()))
    with browser(url) as visitor:
        assert use(visitor, token).status_code == 401
    GarbageCollector(settings).sweep()
    with database.begin() as session:
        assert session.scalars(select(SignInLink)).all() == []


@pytest.mark.parametrize("how", ["revoked", "rotated"])
def test_a_link_ends_with_its_key(url: str, key: str, database: Database, how: str) -> None:
    token, key_id = token_of(url, key), key.split("_")[1]
    if how == "revoked":
        keys.revoke_key(database, key_id)
    else:
        keys.rotate_key(database, key_id, overlap_seconds=0)
    with browser(url) as visitor:
        assert use(visitor, token).status_code == 401
        assert COOKIE not in visitor.cookies


def test_pages_of_other_sites_cannot_use_a_link(url: str, key: str) -> None:
    token = token_of(url, key)
    with browser(url) as visitor:
        assert use(visitor, token, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert use(visitor, token, Origin="https://evil.example").status_code == 403
        assert use(visitor, token, **{"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_only_a_key_that_reads_jobs_creates_a_link(url: str, key: str, database: Database) -> None:
    with browser(url) as visitor:
        sign_in(visitor, key)
        refused = visitor.post("/v1/sessions/links", headers=changing(visitor))
        assert problem(refused)[:2] == (403, "forbidden")
        assert "API key" in refused.text
    files_only = create_key(database, tenant="acme", name="files only", scopes=[Scope.ARTIFACTS_READ])[1]
    assert create(url, files_only).status_code == 403
    assert create(url, "nonsense").status_code == 401
    assert httpx.post(f"{url}/v1/sessions/links").status_code == 401


def test_a_link_replaces_the_session_of_the_browser(url: str, key: str, database: Database) -> None:
    with browser(url) as visitor:
        sign_in(visitor, key)
        before = visitor.cookies[COOKIE]
        assert use(visitor, token_of(url, key)).status_code == 303
        assert visitor.cookies[COOKIE] != before
        assert visitor.get("/v1/jobs", headers={"Cookie": f"{COOKIE}={before}"}).status_code == 401


def test_links_count_against_the_rate_limit(settings: Settings, database: Database, key: str) -> None:
    with serving(settings.model_copy(update={"writes_per_minute": 2})) as url:
        token = token_of(url, key)
        token_of(url, key)
        assert create(url, key).status_code == 429
        with browser(url) as visitor:
            assert use(visitor, token).status_code == 429


def test_a_token_is_in_no_log(url: str, key: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    token = token_of(url, key)
    with browser(url) as visitor:
        use(visitor, token)
        use(visitor, token)
    logged = caplog.text + "".join(capsys.readouterr())
    assert "/sign-in/link" in logged
    assert token not in logged
