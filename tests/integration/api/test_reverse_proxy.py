"""The service behind the real nginx, under a path prefix that the proxy strips or passes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from service.client import Client
from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support import nginx
from tests.support.api_server import BODY, client, insert_job, key_for, problem, serving
from tests.support.browsing import COOKIE, browser, sign_in
from tests.support.html_pages import Parsed

PREFIX = "/tools/dsnot"
FORWARDED = f"proxy_set_header X-Forwarded-Prefix {PREFIX};"


@pytest.fixture(params=["stripped", "passed on", "stripped and named in a header"])
def proxied(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[str]:
    """The address of the service behind the proxy, with the prefix."""
    is_named = "header" in request.param
    changes = {"root_path": "" if is_named else PREFIX, "trusted_proxies": ["127.0.0.1"]}
    folder = tmp_path / "nginx"
    folder.mkdir()
    with serving(settings.model_copy(update=changes)) as url:
        more = FORWARDED if is_named else ""
        with nginx.running(folder, url, PREFIX, strips=request.param != "passed on", more=more) as address:
            yield address


def test_the_api_works_under_a_prefix(proxied: str, settings: Settings, database: Database) -> None:
    key = key_for(database, Scope.ADMIN)
    with client(proxied, key) as api, Client(proxied, key) as caller:
        made = api.post("/v1/jobs", json=BODY)
        assert made.headers["location"] == f"{PREFIX}/v1/jobs/{made.json()['id']}"
        job = api.get(urljoin(proxied, made.headers["location"]))
        assert (job.status_code, job.headers["content-encoding"], job.headers["etag"][:2]) == (200, "gzip", "W/")
        assert api.post(f"/v1/jobs/{job.json()['id']}/cancel", headers={"If-Match": job.headers["etag"]}).status_code == 200
        assert [event.type for event in caller.jobs.events(job.json()["id"])][-1:] == ["cancelled"]
        text = api.post("/v1/datasets", content=b"one\n\ntwo", headers={"Content-Type": "text/plain"})
        assert api.get(urljoin(proxied, text.headers["location"])).json()["documents"] == 2
        assert api.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]


def test_a_body_that_is_too_large_is_refused_and_not_cut_off(proxied: str, settings: Settings, database: Database) -> None:
    with client(proxied, key_for(database, Scope.ADMIN)) as api:
        for _ in range(5):  # nginx answers 502 if the service closes the connection while it sends
            answer = api.post("/v1/jobs", content=b" " * 4_000_000, headers={"Content-Type": "application/json"})
            assert problem(answer)[:2] == (413, "body-too-large")


def test_the_dashboard_works_under_a_prefix(proxied: str, database: Database) -> None:
    insert_job(database)
    with browser(proxied) as visitor:
        turned_away = visitor.get("/jobs?state=queued")
        assert turned_away.headers["location"].startswith(f"{PREFIX}/sign-in?")
        answer = sign_in(visitor, key_for(database, Scope.ADMIN), next="/jobs?state=queued")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{PREFIX}/jobs?state=queued")
        assert f"Path={PREFIX};" in answer.headers["set-cookie"]
        assert visitor.cookies[COOKIE]
        assert Parsed(visitor.get("/jobs/new").text).all("html")[0]["data-prefix"] == PREFIX  # for the scripts
        followed = follow_links(visitor, proxied)
    assert {"/", "/jobs/new", "/docs", "/openapi.json", "/keys", "/sign-out"} <= followed


def follow_links(visitor: httpx.Client, proxied: str) -> set[str]:
    """Open each address that the pages refer to, from the overview on, with one query each; the paths without the prefix."""
    found, waiting = set[str](), [f"{PREFIX}/"]
    while waiting:
        path = waiting.pop()
        address = urljoin(proxied, path)
        answer = visitor.get(address)
        assert answer.status_code == (405 if "sign-out" in path else 200), path
        page = Parsed(answer.text) if "html" in answer.headers["content-type"] else Parsed("")
        for attribute in ("href", "src", "action"):
            links = {each[attribute] or "" for _, each in page.elements if attribute in each}
            for link in links if not path.startswith(f"{PREFIX}/help/") else ():  # pages of their own, with relative links
                target = link.partition("#")[0].partition("?")[0]
                if target and target not in found:
                    assert link.startswith(f"{PREFIX}/"), (path, link)
                    found.add(target)
                    waiting.append(link)
    return {path.removeprefix(PREFIX) for path in found}


def test_prefix_and_address_are_believed_from_trusted_proxies_only(settings: Settings, database: Database) -> None:
    forged = {"X-Forwarded-Prefix": "/elsewhere", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    key = key_for(database, Scope.ADMIN)
    seen = []
    for trusted in ([], ["127.0.0.0/8"]):
        with serving(settings.model_copy(update={"trusted_proxies": trusted})) as url, client(url, key) as api:
            made = api.post("/v1/jobs", content=json.dumps(BODY), headers=forged | {"Content-Type": "application/json"})
            [entry] = api.get("/v1/audit?limit=1").json()["items"]
            seen.append((made.headers["location"].partition("/v1")[0], entry["address"]))
    assert seen == [("", "127.0.0.1"), ("/elsewhere", "203.0.113.9")]
