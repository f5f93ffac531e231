"""Signing in to the dashboard: what a session opens, what it does not, and how it ends."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select, text, update

from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.audit import AuditEntry
from service.database.tables.sessions import BrowserSession
from service.dispatcher.garbage_collection import GarbageCollector
from service.settings import Settings
from service.tenants.keys import operations as keys
from service.tenants.keys.operations import create_key
from tests.support.api_server import BODY, insert_job, key_for, problem, serving
from tests.support.browsing import COOKIE, browser, changing, csrf_token, sign_in

URL_PLACES = ("location", "refresh", "link", "content-location")


@pytest.fixture
def key(database: Database) -> str:
    return key_for(database, Scope.ADMIN)


@pytest.fixture
def visitor(url: str, key: str) -> Iterator[httpx.Client]:
    """Somebody who has signed in."""
    with browser(url) as opened:
        assert sign_in(opened, key).status_code == 303
        yield opened


def test_sign_in_sets_an_http_only_session_cookie(url: str, key: str, database: Database) -> None:
    with browser(url) as visitor:
        answer = sign_in(visitor, f"  {key}\n", next="/jobs?state=failed")
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed")
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"))
        assert "Secure" not in cookie
        assert visitor.get("/").status_code == 200
        with database.begin() as session:
            stored = session.scalars(select(BrowserSession)).one()
        assert visitor.cookies[COOKIE].encode() not in stored.token_sha256
        assert stored.expires_at - stored.created_at == timedelta(hours=12)


def test_behind_a_trusted_tls_proxy_the_cookie_is_secure(settings: Settings, key: str) -> None:
    with serving(settings.model_copy(update={"trusted_proxies": ["127.0.0.1"]})) as url, browser(url) as visitor:
        answer = visitor.post("/sign-in", data={"key": key}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("wrong", ["", "hello", "dsnot_abcdefghijkl_" + "x" * 43, "<script>alert(1)</script>"])
def test_a_wrong_key_is_refused_with_a_reason_and_not_echoed(
    url: str, key: str, database: Database, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with browser(url) as visitor:
        answer = sign_in(visitor, wrong, next="/jobs")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert 'role="alert"' in answer.text
        assert 'name="next" value="/jobs"' in answer.text
        assert len(wrong) < 10 or wrong not in answer.text + caplog.text
        assert visitor.get("/").headers["location"] == "/sign-in"


def test_a_key_is_in_no_log_and_no_response(
    url: str, key: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = key.split("_", 2)[2]
    with browser(url) as visitor:
        answers = [sign_in(visitor, key), visitor.get("/"), visitor.get("/sign-in")]
    said = caplog.text + "".join(capsys.readouterr())
    assert all(secret not in answer.text + str(answer.headers) for answer in answers)
    assert secret not in said


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
        "\\\\evil",
        "/a\r\nb",
    ],
)
def test_sign_in_redirects_to_own_pages_only(url: str, key: str, wanted: str) -> None:
    with browser(url) as visitor:
        assert sign_in(visitor, key, next=wanted).headers["location"] == "/"
        assert 'name="next" value="/"' in visitor.get("/sign-in", params={"next": wanted}).text


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/jobs?state=failed&model=a%2Fb", "/jobs.csv", "/jobs/0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11"]
)
def test_a_page_redirects_to_sign_in_and_back(url: str, key: str, path: str) -> None:
    with browser(url) as visitor:
        first = visitor.get(path)
        assert first.status_code == 303
        shown = visitor.get(first.headers["location"])
        assert shown.status_code == 200
        way_back = httpx.URL(first.headers["location"]).params.get("next", "/")
        assert sign_in(visitor, key, next=way_back).headers["location"] == path


# the API by a session


def test_the_api_accepts_the_session_instead_of_a_key(visitor: httpx.Client, database: Database) -> None:
    job = visitor.post("/v1/jobs", json=BODY, headers=changing(visitor))
    assert job.status_code == 201
    assert [each["id"] for each in visitor.get("/v1/jobs").json()["items"]] == [job.json()["id"]]
    with database.begin() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.created_at)).all()
    assert [(each.action, each.status) for each in entries] == [("sign_in", 303), ("create_job", 201)]
    assert len({each.key_id for each in entries}) == 1


def test_a_session_has_exactly_the_scopes_of_its_key(url: str, database: Database) -> None:
    with browser(url) as visitor:
        sign_in(visitor, key_for(database, Scope.JOBS_READ))
        assert visitor.get("/v1/jobs").status_code == 200
        assert problem(visitor.post("/v1/jobs", json=BODY, headers=changing(visitor)))[:2] == (403, "forbidden")
        assert problem(visitor.get("/v1/keys"))[:2] == (403, "forbidden")
        theirs = insert_job(database, tenant="other")
        assert visitor.get(f"/v1/jobs/{theirs}").status_code == 404
        assert visitor.get(f"/jobs/{theirs}").status_code == 404


def test_a_key_takes_precedence_over_the_session(visitor: httpx.Client, database: Database) -> None:
    other = {"Authorization": f"Bearer {key_for(database, Scope.JOBS_READ)}"}
    assert visitor.get("/v1/keys", headers=other).status_code == 403
    assert visitor.get("/v1/jobs", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_a_session_shares_the_rate_limit_of_its_key(settings: Settings, database: Database, key: str) -> None:
    limited = settings.model_copy(update={"reads_per_minute": 3})
    with serving(limited) as url, browser(url) as visitor:
        sign_in(visitor, key)
        assert [visitor.get("/v1/jobs").status_code for _ in range(4)] == [200, 200, 200, 429]
        page = visitor.get("/")
        assert page.status_code == 429
        assert "Too many requests" in page.text
        assert int(page.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X-CSRF-Token": ""}, "no token"),
        ({"X-CSRF-Token": "0" * 64}, "not the session's"),
        ({"X-CSRF-Token": "ünd"}, "not even hexadecimal"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, "a neighbour"),
        ({"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, "another origin"),
    ],
)
def test_cross_site_requests_change_nothing(visitor: httpx.Client, headers: dict[str, str], why: str) -> None:
    sent = {name: value.encode() for name, value in (changing(visitor) | headers).items()}
    if not headers.get("Sec-Fetch-Site", "x"):
        del sent["Sec-Fetch-Site"]
    answer = visitor.post("/v1/jobs", json=BODY, headers=sent)
    assert problem(answer)[:2] == (403, "cross-site-request"), why
    assert visitor.get("/v1/jobs").json()["items"] == []


def test_the_csrf_token_of_one_session_is_invalid_in_another(visitor: httpx.Client, url: str, key: str) -> None:
    with browser(url) as other:
        sign_in(other, key)
        stolen = changing(other)
    assert visitor.post("/v1/jobs", json=BODY, headers=stolen).status_code == 403


def test_cross_site_forms_cannot_sign_in_or_out(visitor: httpx.Client, key: str) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.post("/sign-in", data={"key": key}, headers=elsewhere).status_code == 403
    token = csrf_token(visitor)
    assert visitor.post("/sign-out", data={"csrf_token": token}, headers=elsewhere).status_code == 403
    assert visitor.post("/sign-out", data={"csrf_token": "guess"}).status_code == 403
    assert visitor.get("/").status_code == 200


# ends


def test_sign_out_ends_one_session_and_sign_out_everywhere_all(url: str, key: str, database: Database) -> None:
    with browser(url) as first, browser(url) as second, browser(url) as third, browser(url) as stranger:
        for each in (first, second, third):
            sign_in(each, key)
        sign_in(stranger, key_for(database, Scope.JOBS_READ))
        kept = first.cookies[COOKIE]
        answer = first.post("/sign-out", data={"csrf_token": csrf_token(first)})
        assert answer.headers["location"] == "/sign-in"
        assert COOKIE not in first.cookies
        assert first.get("/v1/jobs", headers={"Cookie": f"{COOKIE}={kept}"}).status_code == 401
        assert second.get("/v1/jobs").status_code == 200
        second.post("/sign-out/everywhere", data={"csrf_token": csrf_token(second)})
        assert [each.get("/v1/jobs").status_code for each in (second, third, stranger)] == [401, 401, 200]


@pytest.mark.parametrize("how", ["revoked", "expired", "rotated"])
def test_revoking_a_key_ends_its_sessions(visitor: httpx.Client, database: Database, key: str, how: str) -> None:
    key_id = key.split("_")[1]
    assert visitor.get("/v1/jobs").status_code == 200
    if how == "rotated":
        keys.rotate_key(database, key_id, overlap_seconds=3600)
        assert visitor.get("/v1/jobs").status_code == 200
        keys.rotate_key(database, key_id, overlap_seconds=0)
    else:
        column = {"revoked": "revoked_at", "expired": "expires_at"}[how]
        with database.begin() as session:
            session.execute(text(f"UPDATE api_keys SET {column} = now() WHERE id = :id"), {"id": key_id})  # noqa: S608
    assert problem(visitor.get("/v1/jobs"))[:2] == (401, "unauthenticated")
    assert visitor.get("/jobs").headers["location"] == "/sign-in?next=%2Fjobs"


def test_a_session_expires_and_is_deleted(visitor: httpx.Client, settings: Settings, database: Database) -> None:
    GarbageCollector(settings).sweep()
    assert visitor.get("/v1/jobs").status_code == 200
    with database.begin() as session:
        session.execute(update(BrowserSession).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert visitor.get("/v1/jobs").status_code == 401
    GarbageCollector(settings).sweep()
    with database.begin() as session:
        assert session.scalars(select(BrowserSession)).all() == []


def test_a_key_that_cannot_read_jobs_gets_a_message_and_sign_out(url: str, database: Database) -> None:
    made = create_key(database, tenant="acme", name="files only", scopes=[Scope.ARTIFACTS_READ])[1]
    with browser(url) as visitor:
        sign_in(visitor, made)
        page = visitor.get("/")
        assert page.status_code == 403
        assert "jobs:read" in page.text
        assert 'action="/sign-out"' in page.text
