"""Keys, quotas, rate limits and the audit log, as those who administer a tenant use them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update

from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.audit import AuditEntry
from service.database.tables.keys import ApiKey
from service.dispatcher.garbage_collection import GarbageCollector
from service.embedded import valkey
from service.settings import Settings
from service.tenants.audit.operations import note_command
from service.tenants.keys.operations import create_key
from service.tenants.quotas import operations as quotas
from service.tenants.rates.limiter import RateLimiter
from tests.support.api_server import BODY, client, insert_job, key_for, problem, serving
from tests.support.dataset_uploads import upload

NEW = {"name": "pipeline", "scopes": ["jobs:read"]}


def bearer(plaintext: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {plaintext}"}


def reads(api: httpx.Client, plaintext: str) -> int:
    return api.get("/v1/jobs", headers=bearer(plaintext)).status_code


def make(api: httpx.Client, **changes: Any) -> dict[str, Any]:
    response = api.post("/v1/keys", json=NEW | changes)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def audit(api: httpx.Client, **wanted: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = api.get("/v1/audit", params=wanted).json()["items"]
    return entries


# keys


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/keys", NEW),
        ("/v1/webhooks", {"url": "https://example.com/"}),
        ("/v1/triggers", {"name": "t", "template": {"model": {"id": "a/b"}}}),
    ],
)
def test_answers_with_a_secret_are_never_stored_by_caches(api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    made = api.post(path, json=body)
    rotated = api.post(f"{path}/{made.json()['id']}/{'rotate' if path == '/v1/keys' else 'rotate-secret'}")
    assert [(each.status_code, each.headers.get("cache-control")) for each in (made, rotated)] == [
        (201, "no-store"),
        (200, "no-store"),
    ]


def test_a_new_key_authorizes_its_scopes(api: httpx.Client) -> None:
    response = api.post("/v1/keys", json=NEW)
    made = response.json()
    assert response.headers["location"] == f"/v1/keys/{made['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert made["key"].startswith(f"dsnot_{made['id']}_")
    assert (made["tenant"], made["scopes"]) == ("acme", ["jobs:read"])
    assert reads(api, made["key"]) == 200
    assert problem(api.post("/v1/jobs", json=BODY, headers=bearer(made["key"])))[:2] == (403, "forbidden")
    shown = api.get(response.headers["location"]).json()
    assert shown == {name: value for name, value in made.items() if name != "key"} | {"last_used_at": shown["last_used_at"]}


def test_after_rotation_both_secrets_are_valid_for_the_overlap(api: httpx.Client, database: Database) -> None:
    old = make(api)
    new = api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 3600}).json()
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    assert (reads(api, old["key"]), reads(api, new["key"])) == (200, 200)
    end = datetime.fromisoformat(new["old_secret_until"])
    assert abs(end - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=10)
    with database.begin() as session:
        session.execute(update(ApiKey).where(ApiKey.id == old["id"]).values(old_secret_until=text("now()")))
    assert (reads(api, old["key"]), reads(api, new["key"])) == (401, 200)


def test_a_leaked_secret_is_revoked_by_rotation_without_overlap(api: httpx.Client) -> None:
    old = make(api)
    new = api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 0}).json()
    assert (reads(api, old["key"]), reads(api, new["key"])) == (401, 200)
    newer = api.post(f"/v1/keys/{old['id']}/rotate").json()  # by default there is a day
    assert [reads(api, each["key"]) for each in (old, new, newer)] == [401, 200, 200]


def test_a_revoked_key_is_rejected_and_cannot_be_rotated(api: httpx.Client) -> None:
    old = make(api)
    new = api.post(f"/v1/keys/{old['id']}/rotate").json()
    first = api.post(f"/v1/keys/{old['id']}/revoke").json()
    assert first["revoked_at"] is not None
    assert (reads(api, old["key"]), reads(api, new["key"])) == (401, 401)
    assert api.post(f"/v1/keys/{old['id']}/revoke").json() == first
    assert problem(api.post(f"/v1/keys/{old['id']}/rotate"))[:2] == (409, "conflict")
    assert old["id"] in [each["id"] for each in api.get("/v1/keys").json()["items"]]


def test_the_last_key_that_can_manage_keys_cannot_be_revoked(api: httpx.Client, database: Database) -> None:
    own = api.get("/v1/keys").json()["items"][0]["id"]
    expired = create_key(
        database, tenant="acme", name="x", scopes=[Scope.ADMIN], expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    create_key(database, tenant="other", name="x", scopes=[Scope.ADMIN])
    make(api)
    assert problem(api.post(f"/v1/keys/{own}/revoke"))[:2] == (409, "conflict")
    assert api.post(f"/v1/keys/{expired[0].id}/revoke").status_code == 200
    other = make(api, scopes=["admin"])
    assert api.post(f"/v1/keys/{own}/revoke").status_code == 200
    assert reads(api, other["key"]) == 200


def test_of_two_admins_who_revoke_each_other_one_remains(api: httpx.Client, database: Database) -> None:
    tenant = "duel"
    keys = [create_key(database, tenant=tenant, name="x", scopes=[Scope.ADMIN]) for _ in range(2)]
    answers: list[int] = []

    def revoke(own: str, other: str) -> None:
        answers.append(api.post(f"/v1/keys/{other}/revoke", headers=bearer(own)).status_code)

    duel = [threading.Thread(target=revoke, args=(keys[mine][1], keys[1 - mine][0].id)) for mine in (0, 1)]
    for each in duel:
        each.start()
    for each in duel:
        each.join()
    assert sorted(answers) in ([200, 401], [200, 409])
    assert sorted(reads(api, plaintext) for _, plaintext in keys) == [200, 401]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"name": ""}, "/name"),
        ({"name": "two\nlines"}, "/name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "/expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"tenant": "other"}, "/tenant"),
    ],
)
def test_an_invalid_key_request_is_refused(api: httpx.Client, wrong: dict[str, Any], pointer: str) -> None:
    assert problem(api.post("/v1/keys", json=NEW | wrong)) == (422, "invalid-input", [pointer])
    assert len(api.get("/v1/keys").json()["items"]) == 1


def test_keys_are_paginated_newest_first(api: httpx.Client) -> None:
    made = [make(api, name=str(number))["id"] for number in range(5)]
    found, cursor = [], None
    while True:
        page = api.get("/v1/keys", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [each["id"] for each in page["items"]]
        if not found[1:] or (cursor := page["next_cursor"]) is None:
            break
    assert found[:5] == made[::-1]
    assert len(found) == 6
    assert problem(api.get("/v1/keys", params={"cursor": "e30="})) == (422, "invalid-input", ["cursor"])


def test_the_last_use_of_a_key_is_recorded(api: httpx.Client, database: Database) -> None:
    made = make(api)
    assert made["last_used_at"] is None
    reads(api, made["key"])
    first = api.get(f"/v1/keys/{made['id']}").json()["last_used_at"]
    assert abs(datetime.fromisoformat(first) - datetime.now(UTC)) < timedelta(minutes=10)
    reads(api, made["key"])
    assert api.get(f"/v1/keys/{made['id']}").json()["last_used_at"] == first  # to the minute
    with database.begin() as session:
        session.execute(update(ApiKey).where(ApiKey.id == made["id"]).values(last_used_at=text("now() - interval '61 seconds'")))
    reads(api, made["key"])
    assert api.get(f"/v1/keys/{made['id']}").json()["last_used_at"] >= first


# the audit log


def test_every_action_is_audited_with_its_actor_and_outcome(api: httpx.Client) -> None:
    made = make(api, scopes=["jobs:write", "jobs:read"])
    headers = bearer(made["key"]) | {"X-Request-ID": "run-4711"}
    job = api.post("/v1/jobs", json=BODY, headers=headers)
    api.post(f"{job.headers['location']}/cancel", headers=headers)
    sweep = api.post("/v1/sweeps", json={"template": BODY, "axes": {"/recipe/preset": ["fast"]}}, headers=headers)
    api.delete(sweep.headers["location"], headers=headers)
    api.post("/v1/keys", json=NEW, headers=headers)
    api.get("/v1/jobs", headers=headers)
    entries = audit(api, key_id=made["id"])
    found = [(each["action"], each["path"], each["status"], each["problem"]) for each in reversed(entries)]
    assert found == [
        ("create_job", "/v1/jobs", 201, None),
        ("cancel_job", f"{job.headers['location']}/cancel", 200, None),
        ("create_sweep", "/v1/sweeps", 201, None),
        ("delete_sweep", sweep.headers["location"], 409, "conflict"),
        ("create_key", "/v1/keys", 403, "forbidden"),
    ]
    assert entries[-1]["created"] == job.headers["location"]
    assert {(each["request_id"], each["address"]) for each in entries} == {("run-4711", "127.0.0.1")}
    assert made["key"] not in api.get("/v1/audit").text


def test_a_key_in_a_path_is_not_in_the_audit_log(api: httpx.Client) -> None:
    secret = make(api)["key"]
    api.post(f"/v1/keys/{secret}/rotate")
    assert audit(api)[0]["path"] == f"/v1/keys/{'_'.join(secret.split('_')[:2])}_[redacted]/rotate"


@pytest.mark.parametrize(
    ("ask", "status", "why"),
    [
        (lambda api: api.post("/v1/jobs", json=BODY | {"x": 1}), 422, "invalid-input"),
        (lambda api: api.post("/v1/jobs?y=1", json=BODY), 422, "invalid-input"),
        (lambda api: api.post("/v1/jobs/00000000-0000-0000-0000-000000000000/cancel"), 404, "not-found"),
        (lambda api: api.delete("/v1/datasets/c4-sample"), 409, "conflict"),
        (lambda api: api.post("/v1/jobs?validate_only=true", json=BODY), 200, None),
    ],
    ids=["unknown field", "unknown parameter", "unknown job", "built-in data set", "plan"],
)
def test_refused_actions_are_audited(
    api: httpx.Client, ask: Callable[[httpx.Client], httpx.Response], status: int, why: str | None
) -> None:
    assert ask(api).status_code == status
    assert [(each["status"], each["problem"]) for each in audit(api)] == [(status, why)]


def test_an_action_that_cannot_be_audited_is_not_performed(api: httpx.Client, database: Database) -> None:
    with database.begin() as session:
        session.execute(text("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE"))
        assert problem(api.post("/v1/jobs", json=BODY))[:2] == (503, "unavailable")
        assert api.get("/v1/jobs").json()["items"] == []  # reads need no entry


def test_trigger_secrets_and_anonymous_requests_leave_no_entry(api: httpx.Client) -> None:
    trigger = api.post("/v1/triggers", json={"name": "nightly", "template": BODY}).json()
    secret = {"X-Webhook-Secret": trigger["secret"], "Authorization": ""}
    assert api.post(f"/v1/triggers/{trigger['id']}/fire", json={"id": "1"}, headers=secret).status_code == 201
    assert api.post("/v1/jobs", json=BODY, headers=bearer("nonsense")).status_code == 401
    assert [each["action"] for each in audit(api)] == ["create_trigger"]


def test_the_audit_log_is_paginated_and_filtered(api: httpx.Client, database: Database) -> None:
    for _ in range(3):
        make(api)
    note_command(database, tenant="acme", action="set_quota", path="/v1/quota")
    note_command(database, tenant="other", action="set_quota", path="/v1/quota")
    first = api.get("/v1/audit", params={"limit": 2}).json()
    rest = api.get("/v1/audit", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["action"] for each in first["items"] + rest["items"]] == ["set_quota"] + ["create_key"] * 3
    assert rest["next_cursor"] is None
    assert [each["key_id"] for each in audit(api, action="set_quota")] == [None]
    moment = first["items"][1]["created_at"]
    assert len(audit(api, created_after=moment)) == 1
    assert len(audit(api, created_before=moment)) == 2
    assert problem(api.get("/v1/audit", params={"action": "DROP TABLE"})) == (422, "invalid-input", ["action"])


def test_audit_entries_are_kept_for_the_retention_period(api: httpx.Client, database: Database, settings: Settings) -> None:
    make(api)
    make(api)
    newest = audit(api)[0]["id"]
    with database.begin() as session:
        old = update(AuditEntry).where(AuditEntry.id != newest).values(created_at=text("now() - interval '366 days'"))
        session.execute(old)
    GarbageCollector(settings).sweep()
    assert [each["id"] for each in audit(api)] == [newest]


# quotas


def test_a_tenant_reads_its_quotas_and_usage(api: httpx.Client, database: Database) -> None:
    insert_job(database, artifact_prefix="jobs/x/1", artifact_bytes=1000)
    insert_job(database, tenant="other")
    text_bytes = upload(api, "A text.")["bytes"]
    api.post("/v1/webhooks", json={"url": "https://sink.example/hook"})
    assert api.get("/v1/quota").json() == {
        "queued_jobs": {"used": 1, "limit": 1000},
        "running_jobs": {"used": 0, "limit": None},
        "datasets_bytes": {"used": text_bytes, "limit": 10 * 1024**3},
        "triggers": {"used": 0, "limit": 100},
        "webhooks": {"used": 1, "limit": 20},
        "artifacts_bytes": {"used": 1000, "limit": None},
        "reads_per_minute": None,
        "writes_per_minute": None,
        "share": 1,
        "max_priority": 9,
        "keep_jobs_seconds": None,
        "keep_artifacts_seconds": None,
        "keep_layers_seconds": 90 * 86400,
        "keep_audit_seconds": 365 * 86400,
    }
    quotas.set_limits(database, "acme", {"keep_jobs_seconds": 60, "keep_layers_seconds": 0})
    shown = api.get("/v1/quota").json()
    assert (shown["keep_jobs_seconds"], shown["keep_layers_seconds"], shown["keep_audit_seconds"]) == (60, None, 365 * 86400)


def test_quotas_of_a_tenant_apply_to_it_alone(api: httpx.Client, database: Database) -> None:
    none_at_all = dict.fromkeys(("max_queued_jobs", "max_datasets_bytes", "max_triggers", "max_webhooks"), 0)
    quotas.set_limits(database, "acme", none_at_all)

    def ask(headers: dict[str, str] | None = None) -> list[int]:
        answers = [
            api.post("/v1/jobs", json=BODY, headers=headers),
            api.post("/v1/datasets", content="A text.", headers={"Content-Type": "text/plain"} | (headers or {})),
            api.post("/v1/triggers", json={"name": "x", "template": BODY}, headers=headers),
            api.post("/v1/webhooks", json={"url": "https://sink.example/hook"}, headers=headers),
        ]
        return [answer.status_code for answer in answers]

    assert ask() == [429, 409, 409, 409]
    assert ask(bearer(key_for(database, Scope.ADMIN, tenant="other"))) == [201, 201, 201, 201]
    assert api.get("/v1/quota").json()["queued_jobs"] == {"used": 0, "limit": 0}
    quotas.set_limits(database, "acme", {"max_queued_jobs": 1})
    assert ask() == [201, 409, 409, 409]
    quotas.set_limits(database, "acme", None)
    assert ask() == [201, 201, 201, 201]


def test_a_priority_above_the_quota_is_refused_with_the_limit(api: httpx.Client, database: Database) -> None:
    quotas.set_limits(database, "acme", {"max_priority": 4, "max_running_jobs": 2, "share": 3})
    assert api.post("/v1/jobs", json=BODY | {"priority": 4}).status_code == 201
    for parameters in ({}, {"validate_only": "true"}):
        refused = api.post("/v1/jobs", params=parameters, json=BODY | {"priority": 5})
        assert (refused.status_code, [each["pointer"] for each in refused.json()["errors"]]) == (422, ["/priority"])
        assert "priority 5 is above 4" in refused.json()["detail"]
    swept = {"template": BODY | {"priority": 9}, "axes": {"/calibration/seed": [0, 1]}}
    assert "priority 9 is above 4" in api.post("/v1/sweeps", json=swept).json()["detail"]
    shown = api.get("/v1/quota").json()
    assert (shown["running_jobs"], shown["share"], shown["max_priority"]) == ({"used": 0, "limit": 2}, 3, 4)
    other = bearer(key_for(database, Scope.ADMIN, tenant="other"))
    assert api.post("/v1/jobs", json=BODY | {"priority": 9}, headers=other).status_code == 201


# rate limits


@pytest.fixture
def limited(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client of a service that takes five reads and three writes a minute and gives Valkey time to answer."""
    monkeypatch.setattr("service.tenants.rates.limiter._ANSWER_SECONDS", 60.0)
    changes = {"reads_per_minute": 5, "writes_per_minute": 3}
    with serving(settings.model_copy(update=changes)) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def test_a_tenant_over_its_rate_limit_gets_retry_after(limited: httpx.Client) -> None:
    answers = [limited.get("/v1/quota") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
    assert left == ['"reads";r=4', '"reads";r=3', '"reads";r=2', '"reads";r=1', '"reads";r=0', '"reads";r=0']
    assert answers[0].headers["ratelimit-policy"] == '"reads";q=5;w=60'
    assert problem(answers[-1])[:2] == (429, "rate-limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert limited.post("/v1/keys", json=NEW).status_code == 201  # writes are counted apart
    assert limited.get("/livez").status_code == 200


def test_rate_limited_requests_are_neither_performed_nor_audited(limited: httpx.Client, database: Database) -> None:
    assert [limited.post("/v1/jobs", json=BODY).status_code for _ in range(5)] == [201] * 3 + [429] * 2
    assert len(limited.get("/v1/jobs").json()["items"]) == 3
    assert len(audit(limited)) == 3


def test_rate_limits_count_per_tenant_across_keys_and_processes(
    limited: httpx.Client, settings: Settings, database: Database
) -> None:
    for key in (key_for(database, Scope.ADMIN) for _ in range(5)):
        assert limited.get("/v1/quota", headers=bearer(key)).status_code == 200
    other = key_for(database, Scope.ADMIN, tenant="other")
    assert limited.get("/v1/quota", headers=bearer(other)).status_code == 200
    assert limited.get("/v1/quota").status_code == 429
    changes = {"reads_per_minute": 5, "writes_per_minute": 3}
    with serving(settings.model_copy(update=changes)) as url, client(url, None) as beside:
        assert beside.get("/v1/quota", headers=dict(limited.headers)).status_code == 429
        assert beside.get("/v1/quota", headers=bearer(other)).status_code == 200


def test_a_tenant_may_have_its_own_rate_limit(limited: httpx.Client, database: Database) -> None:
    quotas.set_limits(database, "acme", {"reads_per_minute": 0, "writes_per_minute": 1})
    assert {limited.get("/v1/quota").status_code for _ in range(10)} == {200}
    assert [limited.post("/v1/keys", json=NEW).status_code for _ in range(2)] == [201, 429]
    assert limited.get("/v1/quota").json()["writes_per_minute"] == 1


def test_senders_with_secrets_of_triggers_count_apart_from_keys(limited: httpx.Client) -> None:
    trigger = limited.post("/v1/triggers", json={"name": "nightly", "template": BODY}).json()
    secret = {"X-Webhook-Secret": trigger["secret"], "Authorization": ""}
    path = f"/v1/triggers/{trigger['id']}/fire"
    answers = [limited.post(path, json={"id": str(number)}, headers=secret).status_code for number in range(5)]
    assert answers == [201, 201, 201, 429, 429]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_without_valkey_each_process_counts_alone(
    settings: Settings,
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
) -> None:
    monkeypatch.setattr("service.tenants.rates.limiter._ANSWER_SECONDS", 2.0)
    monkeypatch.setattr("service.tenants.rates.limiter._AWAY_SECONDS", 3600.0)
    now = time.time()
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=lambda: now))  # its windows begin with each minute
    failures: list[Exception] = []
    leave_alone = RateLimiter._leave_alone

    def note(limiter: RateLimiter, error: Exception) -> None:
        failures.append(error)
        leave_alone(limiter, error)

    monkeypatch.setattr(RateLimiter, "_leave_alone", note)
    server, url = valkey.start(tmp_path_factory.mktemp("another-valkey"))
    changes = settings.model_dump() | {"broker_url": url, "reads_per_minute": 5}
    with serving(Settings.model_validate(changes)) as address, client(address, key_for(database, Scope.ADMIN)) as api:
        try:
            assert [api.get("/v1/quota").status_code for _ in range(3)] == [200] * 3
            server.process.send_signal(how)
            assert [api.get("/v1/quota").status_code for _ in range(6)] == [200] * 5 + [429]
            assert len(failures) == 1, "one request waits for Valkey; the others do not ask it"
        finally:
            server.process.send_signal(signal.SIGCONT)
            server.stop(5)
