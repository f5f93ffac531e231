"""The pages of keys, the audit log and models by HTTP: who may see them, what they show, how much work they take."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import insert

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.audit import AuditEntry
from service.database.tables.keys import ApiKey
from service.settings import Settings
from service.tenants.keys.operations import create_key, revoke_key
from tests.support.api_server import BODY, insert_job, key_for, serving
from tests.support.browsing import browser, sign_in
from tests.support.dashboard_jobs import HOSTILE, METRICS, finished_job, many_jobs
from tests.support.html_pages import Parsed
from tests.support.statements import analyse, assert_bounded_work

PAGES = ("/keys", "/audit", "/audit.csv")


def words_of(answer: httpx.Response) -> str:
    """With a space between cells that stand side by side."""
    return " ".join(Parsed(answer.text.replace("<t", " <t")).text.split())


def test_keys_and_audit_log_are_shown_to_admins_only(url: str, database: Database) -> None:
    with browser(url) as reader:
        sign_in(reader, key_for(database, Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.ARTIFACTS_READ))
        assert [reader.get(path).status_code for path in PAGES] == [403] * len(PAGES)
        assert "needs a key with the scope admin" in reader.get("/keys").text
        offered = {link["href"] for link in Parsed(reader.get("/models").text).all("a")}
        assert "/models" in offered
        assert not offered & {"/keys", "/audit"}
    with browser(url) as stranger:
        assert [stranger.get(path).headers["location"].partition("?")[0] for path in PAGES] == ["/sign-in"] * len(PAGES)


def test_keys_entries_and_models_of_other_tenants_are_hidden(visitor: httpx.Client, database: Database) -> None:
    theirs = create_key(database, tenant="other", name="their key", scopes=[Scope.ADMIN])[0]
    insert_job(database, tenant="other", model="their-model")
    with database.begin() as session:
        session.add(AuditEntry(tenant="other", key_id=theirs.id, action="create_job", path="/v1/their-path"))
    for path in ("/keys", "/audit", f"/audit?key_id={theirs.id}", "/audit.csv", "/models"):
        shown = visitor.get(path).text
        assert not [word for word in ("their key", "their-path", "their-model") if word in shown], path
    assert visitor.get(f"/keys?id={theirs.id}").status_code == 404
    assert visitor.get("/keys?id=nonsense").status_code == 422


def test_a_key_is_shown_with_its_present_validity(visitor: httpx.Client, database: Database) -> None:
    now = datetime.now(UTC)
    ends = {"active": now + timedelta(days=8), "expiring soon": now + timedelta(days=6), "expired": now - timedelta(seconds=1)}
    for name, end in ends.items():
        create_key(database, tenant="acme", name=f"the {name} one", scopes=[Scope.JOBS_READ], expires_at=end)
    revoked = create_key(database, tenant="acme", name="the revoked one", scopes=[Scope.JOBS_READ])[0]
    revoke_key(database, revoked.id)
    page = Parsed(visitor.get("/keys").text)
    words = " ".join(page.text.split())
    for state in (*ends, "revoked"):
        told = words.partition(f"the {state} one")[2]
        assert told.split("log ")[1].startswith(state), state
    offered = [button["aria-label"] for button in page.all("button") if "data-revoke" in button]
    assert offered == ["Revoke the expiring soon one", "Revoke the active one", "Revoke test"]


def test_quotas_are_shown_with_their_usage(settings: Settings, database: Database) -> None:
    limits = {"max_queued_jobs": 7, "writes_per_minute": 99, "reads_per_minute": 0}
    with serving(settings.model_copy(update=limits)) as url, browser(url) as visitor:
        sign_in(visitor, key_for(database, Scope.ADMIN))
        insert_job(database)
        words = words_of(visitor.get("/keys"))
    assert "Queued jobs 1 7" in words
    assert "Running jobs 0 no limit" in words
    assert "Highest priority of a job 9" in words
    assert "Reads per minute no limit" in words
    assert "Other requests per minute 99" in words


def test_an_entry_has_actor_action_and_object_link(visitor: httpx.Client, database: Database) -> None:
    job = insert_job(database)
    key = create_key(database, tenant="acme", name=HOSTILE, scopes=[Scope.JOBS_WRITE])[0]
    common: dict[str, Any] = {"tenant": "acme", "key_id": key.id, "address": "10.0.0.7", "request_id": "look-for-me"}
    entries = [
        {"action": "create_job", "path": "/v1/jobs", "created": f"/v1/jobs/{job}", "status": 201},
        {"action": "revoke_key", "path": f"/v1/keys/{key.id}/revoke", "status": 409, "problem": "conflict"},
        {"action": "cancel_job", "path": "/v1/jobs/%3Cscript%3E/cancel", "status": 404, "problem": "not-found"},
    ]
    with database.begin() as session:
        session.add_all(AuditEntry(**common, **entry) for entry in entries)
        session.add(AuditEntry(tenant="acme", action="set_quota", path="/v1/quota"))
    page = Parsed(visitor.get("/audit").text)
    words = " ".join(page.text.split())
    assert words.count(HOSTILE) >= 4  # three entries, and the list to choose from
    for part in ("201", "409 conflict", "404 not-found", "10.0.0.7", "look-for-me", "operator", "set quota"):
        assert part in words, part
    links = {link["href"] for link in page.all("a")}
    assert {f"/jobs/{job}", f"/keys?id={key.id}", f"/audit?key_id={key.id}"} <= links
    assert not [link for link in links if "script" in str(link)]
    assert [image for image in page.all("img") if image["src"] == "x"] == []


def test_dry_runs_are_shown_on_request_only(visitor: httpx.Client, api: httpx.Client) -> None:
    for path, flag in (("/v1/jobs", "true"), ("/v1/sweeps", "1")):
        api.post(path, params={"validate_only": flag}, json={"model": {"source": "local", "id": "none"}})
    visitor.post("/sign-out", params={"validate_only": "true"}, data={"csrf_token": "wrong"})  # no dry run of anything
    api.post("/v1/jobs", json={"model": {"source": "local", "id": "none"}})

    def shown(query: dict[str, str]) -> list[str]:
        rows = csv.DictReader(io.StringIO(visitor.get("/audit.csv", params=query).text))
        return [row["action"] for row in rows if not row["action"].startswith("sign_")]

    assert shown({}) == ["create_job"]
    assert shown({"plans": "yes"}) == ["create_job", "plan_sweep", "plan_job"]
    assert shown({"action": "plan_job"}) == ["plan_job"]
    assert "plan sweep" in words_of(visitor.get("/audit"))  # an action to choose


def test_the_log_is_filtered_like_its_export(visitor: httpx.Client, database: Database) -> None:
    old = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with database.begin() as session:
        for day in range(4):
            created = old + timedelta(days=day)
            session.add(
                AuditEntry(tenant="acme", action="cancel_job", path="/v1/x", request_id="=2+3", status=200, created_at=created)
            )
    for query, count in (
        ({"action": "cancel_job"}, 4),
        ({"action": "cancel_job", "created_after": "2026-01-02T12:00"}, 2),
        ({"action": "cancel_job", "created_after": "2026-01-02T11:59:59", "created_before": "2026-01-03T14:00+01:00"}, 2),
        ({"action": "cancel_job", "created_before": "2026-01-02"}, 1),
        ({"key_id": "a" * 12}, 0),
    ):
        page = Parsed(visitor.get("/audit", params=query).text)
        assert len([each for each in page.all("summary") if "aria-label" in each]) == count, query
        rows = list(csv.DictReader(io.StringIO(visitor.get("/audit.csv", params=query).text)))
        assert [row["request_id"] for row in rows] == ["'=2+3"] * count
    wrong = visitor.get("/audit", params={"key_id": "Bob", "action": "<b>", "created_after": "yesterday", "created_before": "\0"})
    assert wrong.status_code == 422
    fields = {
        field["name"]: field["value"]
        for field in Parsed(wrong.text).all("input")
        if field.get("name") not in (None, "csrf_token")
    }
    assert (fields["key_id"], fields["created_after"]) == ("Bob", "yesterday")
    assert wrong.text.count('aria-invalid="true"') == 4


def test_models_are_counted_by_their_jobs(visitor: httpx.Client, database: Database) -> None:
    spec = JobSpec.model_validate(BODY | {"recipe": {"pattern": {"type": "n:m", "n": 2, "m": 4}}}).model_dump(mode="json")
    better = {**METRICS, "pruned": {"perplexity": [{**METRICS["pruned"]["perplexity"][0], "perplexity": 19.5}]}}
    first = finished_job(database, model="org/a")
    best = finished_job(database, model="org/a", metrics=better)
    finished_job(database, model="org/a", spec=spec)
    for state in (JobState.QUEUED, JobState.QUEUED, JobState.RUNNING):
        insert_job(database, model="org/a", state=state)
    insert_job(
        database, model=str(first), spec=JobSpec.model_validate({"model": {"source": "job", "id": str(first)}}).model_dump()
    )
    insert_job(database, model="of-another-mind", spec={"written": "by another version"})
    insert_job(database, model="half", state=JobState.SUCCEEDED, metrics={"pruned": {"perplexity": [{"perplexity": "x"}]}})
    page = Parsed(visitor.get("/models").text)
    words = " ".join(page.text.split())
    assert "org/a hub 2 queued 1 running 3 succeeded" in words
    assert "50 %: 19.50 on wiki-sample" in words
    assert "2:4: 25.45 on wiki-sample" in words
    assert "25.45" in words.partition("50 %")[2]
    assert "half hub 1 succeeded" in words
    assert "of-another-mind – 1 queued" in words
    links = [link["href"] for link in page.all("a")]
    assert f"/jobs/{best}" in links
    assert "/models/hub/org/a" in links
    assert f"/jobs/{first}" in links
    assert f"{first} an earlier job 1 queued" in words


def test_the_new_job_form_is_filled_from_the_query(visitor: httpx.Client, database: Database) -> None:
    address = {"source": "hub", "id": HOSTILE, "revision": "main", "token": "research"}
    form = next(form for form in Parsed(visitor.get("/jobs/new", params=address).text).all("form") if form.get("id") == "new-job")
    body = httpx.Response(200, text=str(form["data-body"])).json()
    assert body["model"] == address
    assert visitor.get("/jobs/new", params={"source": "elsewhere", "id": "x"}).status_code == 422
    with browser(str(visitor.base_url)) as reader:
        sign_in(reader, key_for(database, Scope.JOBS_READ))
        assert 'data-may-write="no"' in reader.get("/models").text


def test_the_new_job_form_offers_models_of_the_hub_only_as_such(visitor: httpx.Client, database: Database) -> None:
    for source, name in (("hub", "org/used"), ("local", "folder"), ("job", str(uuid4()))):
        spec = JobSpec.model_validate(BODY | {"model": {"source": source, "id": name}}).model_dump(mode="json")
        insert_job(database, model=name, spec=spec)
    form = next(form for form in Parsed(visitor.get("/jobs/new").text).all("form") if form.get("id") == "new-job")
    assert json.loads(str(form["data-models"])) == {"local": [], "job": [], "hub": [["org/used", ""]]}


def test_pages_of_ten_thousand_rows_take_few_queries_and_bytes(visitor: httpx.Client, database: Database) -> None:
    many_jobs(database, 10_000)
    now = datetime.now(UTC)
    common = {"tenant": "acme", "path": "/v1/jobs", "status": 201}
    entries = [
        common | {"action": f"action_{'abcdefghi'[n % 9]}", "key_id": f"{n % 5000:012}", "created_at": now - timedelta(minutes=n)}
        for n in range(10_000)
    ]
    keys = [
        {"id": f"{n:012}", "secret_sha256": bytes(32), "tenant": "acme", "name": f"key {n}", "scopes": ["jobs:read"]}
        for n in range(10_000)
    ]
    with database.begin() as session:
        session.execute(insert(AuditEntry), entries)
        session.execute(insert(ApiKey), keys)
    analyse(database)
    for path in ("/keys", "/audit", "/audit?action=action_d&key_id=000000000012", "/audit?action=nothing", "/models"):
        assert_bounded_work(lambda: visitor.get(path), database)  # noqa: B023
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert len(answer.content) < 300_000, path
    assert len(visitor.get("/audit.csv").text.splitlines()) == 10_002  # with the head, and the sign-in
