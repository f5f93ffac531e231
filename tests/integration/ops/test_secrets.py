"""Secrets are used and never seen: not in a log, row, event, error, metric, message or file, whatever goes wrong on the way."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from service.contract.scopes import Scope
from service.database.engine import Database
from service.embedded.processes import free_port
from service.settings import Settings
from tests.support import fork_server
from tests.support.api_server import key_for
from tests.support.child_environment import environment
from tests.support.download_hub import TinyHub
from tests.support.processes import answering, dispatching, working
from tests.support.swift import S3
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually
from tests.support.webhook_receiver import Sink, receiving

GOOD, STALE, OWN = (f"hf_{kind}{hashlib.sha256(kind.encode()).hexdigest()[:28]}" for kind in ("Good", "Stale", "Own"))
"""Tokens of the hub: one that opens, one that does not any more, and the environment's own."""
JOB: dict[str, Any] = {
    "calibration": {"dataset": "c4-sample:test", "num_samples": 2, "sequence_length": 16},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 16, "max_windows": 2},
}


@dataclass
class Stage:
    """Everything that runs, what it holds secret, and what it has said."""

    api: httpx.Client
    hub: TinyHub
    sink: Sink
    folder: Path
    settings: Settings
    secrets: dict[str, str]
    answers: list[str] = field(default_factory=list)
    """Bodies and headers of all answers but those that show a secret once, on purpose."""

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        answer = self.api.request(method, path, **arguments)
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    def shown_once(self, name: str, path: str, body: Any) -> dict[str, Any]:
        """What a creation answers; its secret is one more that must not be seen again."""
        made: dict[str, Any] = self.api.post(path, json=body).raise_for_status().json()
        self.secrets[name] = made.pop("secret" if "secret" in made else "key")
        self.answers.append(str(made))
        return made

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        eventually(lambda: self.ask("GET", f"/v1/jobs/{job_id}").json()["finished_at"])
        job: dict[str, Any] = self.ask("GET", f"/v1/jobs/{job_id}").json()
        return job


def password(url: str) -> str:
    found = urlsplit(url).password
    assert found
    return found


@pytest.fixture
def stage(s3_settings: Settings, s3: S3, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Service, dispatcher and worker as processes, on PostgreSQL, Valkey, an S3 server, a hub and a receiver."""
    for name, token in (("research", GOOD), ("stale", STALE)):
        (tmp_path / "tokens" / "acme").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tokens" / "acme" / name).write_text(f"{token}\n")
    with ExitStack() as stack:
        hub, sink = stack.enter_context(TinyHub()), stack.enter_context(receiving())
        hub.add("org/gated", save_model(tmp_path / "gated"), {}, token=GOOD)
        for name, value in {"HF_ENDPOINT": hub.address, "HF_TOKEN": OWN, "HF_HOME": str(tmp_path / "cache" / "hf")}.items():
            monkeypatch.setenv(name, value)
        changes = {"hub_tokens_dir": tmp_path / "tokens", "webhooks_may_be_local": True, "webhook_retry_seconds": (0.3, 0.3, 0.3)}
        settings = s3_settings.model_copy(update=changes | {"port": free_port(), "log_level": "DEBUG"})
        key = key_for(database, Scope.ADMIN)
        stack.enter_context(dispatching(settings, tmp_path))
        stack.enter_context(working(settings.model_copy(update={"metrics_port": free_port()}), tmp_path))
        _, api = stack.enter_context(answering(settings, tmp_path, key))
        assert settings.secret_key is not None
        secrets = {
            "a hub token": GOOD,
            "a hub token that is refused": STALE,
            "the environment's hub token": OWN,
            "the API key": key.split("_", 2)[2],
            "the key of all secrets": settings.secret_key.get_secret_value(),
            "the password of the database": password(settings.database_url.get_secret_value()),
            "the password of the broker": password(settings.broker_url.get_secret_value()),
            "the password of the store": s3.secret,
        }
        yield Stage(api, hub, sink, tmp_path, settings, secrets)


def live_through_everything(stage: Stage) -> str:
    """Jobs that succeed and fail, and whatever a caller can do wrong with a secret; the id of the job that succeeded."""
    hook = stage.shown_once("the secret of a webhook", "/v1/webhooks", {"url": stage.sink.url})
    trigger = stage.shown_once("the secret of a trigger", "/v1/triggers", {"name": "t", "template": gated("research")})
    stage.shown_once("another API key", "/v1/keys", {"name": "k", "scopes": ["jobs:read"]})
    stage.sink.status = 500
    asked = gated("research") | {"output": {"hub": {"repo": "org/sparse", "token": "research"}}}
    made = stage.ask("POST", "/v1/jobs", json=asked, headers={"Idempotency-Key": "once"}).json()["id"]
    refused = [stage.ask("POST", "/v1/jobs", json=gated(name)).json()["id"] for name in ("stale", None)]
    assert [stage.ended(job_id)["error"]["code"] for job_id in refused] == ["model-access-denied"] * 2
    eventually(lambda: stage.sink.got)
    stage.sink.status = 200
    ended = stage.ended(made)
    assert ended["state"] == "succeeded"
    assert "internal error" in ended["metrics"]["hub"]["error"], "this hub takes no uploads"
    eventually(lambda: [got for got in stage.sink.got if made in got.body.decode()])
    got = next(got for got in stage.sink.got if made in got.body.decode())
    assert Verifier(stage.secrets["the secret of a webhook"]).verify(got.body, got.headers)
    misuse(stage, hook["id"], trigger["id"])
    return str(made)


def gated(token: str | None) -> dict[str, Any]:
    return JOB | {"model": {"id": "org/gated"} | ({"token": token} if token else {})}


def misuse(stage: Stage, webhook_id: str, trigger_id: str) -> None:
    """Each secret where it does not belong; all of it is refused, or does what it should."""
    key, secret = stage.api.headers["authorization"].split()[1], stage.secrets["the secret of a trigger"]
    wrong = f"{key.rpartition('_')[0]}_{stage.secrets['another API key'].rpartition('_')[2]}"
    proof = {"X-Webhook-Secret": secret, "Authorization": ""}
    assert stage.ask("POST", f"/v1/triggers/{trigger_id}/fire", json={"id": "e"}, headers=proof).status_code == 201
    refused = [
        stage.ask("GET", "/v1/jobs", headers=proof),
        stage.ask("GET", "/v1/jobs", headers={"Authorization": f"Bearer {wrong}"}),
        stage.ask("GET", "/v1/jobs", headers={"Authorization": f"Basic {key}"}),
        stage.ask("GET", f"/v1/jobs?api_key={key}"),
        stage.ask("POST", "/v1/jobs", json=gated(GOOD)),
        stage.ask("POST", "/v1/jobs", json=gated("research") | {"token": GOOD}),
        stage.ask("POST", "/v1/jobs", json=gated("research") | {"priority": key}),
        stage.ask("POST", "/v1/jobs", content=b'{"model": "' + key.encode(), headers={"Content-Type": "application/json"}),
        stage.ask("GET", f"/v1/models/inspect?id=org/gated&token={STALE}"),
        stage.ask("POST", f"/v1/webhooks/{webhook_id}/rotate-secret", json={"secret": secret}),
        stage.ask("POST", f"/v1/triggers/{trigger_id}/fire?secret={quote(secret)}", json={"id": "e"}),
    ]
    assert {answer.status_code for answer in refused} <= {400, 401, 422}, [answer.text for answer in refused]


def forms(secret: str) -> set[bytes]:
    """A secret as it is and as it may be written elsewhere: base64, hexadecimal as bytea has it, percent-encoded."""
    plain = secret.encode()
    return {plain, base64.b64encode(plain).rstrip(b"=")[:-1], plain.hex().encode(), quote(secret, safe="").encode()}


def rows(database: Database) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, all its columns as text."""
    with database.begin() as session:
        names = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for name in names:
            for row in session.scalars(text(f'SELECT entry::text FROM "{name}" entry')):  # noqa: S608
                yield f"table {name}", row.encode()


def written(stage: Stage, database: Database, s3: S3, bucket: str, logs: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Everything that is left of the run, and where."""
    yield from rows(database)
    for path in (*logs, *stage.folder.glob("*.log")):
        yield f"log {path.name}", path.read_bytes()
    for path in stage.settings.cache_dir.rglob("*"):
        if path.is_file():
            yield f"cache {path.name}", str(path).encode() + path.read_bytes()
    store = s3.client()
    for name in s3.keys(bucket):
        with suppress(store.exceptions.NoSuchKey):  # deleted by the dispatcher since it was listed
            yield f"artifact {name}", name.encode() + store.get_object(Bucket=bucket, Key=name)["Body"].read()
    yield from (("answer", answer.encode()) for answer in stage.answers)
    yield from (("message", f"{got.headers}".encode() + got.body) for got in stage.sink.got)


def looked_at(stage: Stage) -> None:
    """Ask for all that can be read, so that the answers are searched, too."""
    stage.ask("GET", "/metrics")
    for kind in ("jobs", "webhooks", "triggers", "keys", "audit", "workers", "recipes", "quotas"):
        stage.ask("GET", f"/v1/{kind}")
    for job in stage.ask("GET", "/v1/jobs").json()["items"]:
        for part in ("events", "attempts", "layers", "metrics", "artifacts", "artifacts/README.md", "artifacts/recipe.json"):
            stage.ask("GET", f"/v1/jobs/{job['id']}/{part}")
    for kind, part in (("webhooks", "deliveries"), ("triggers", "firings")):
        for each in stage.ask("GET", f"/v1/{kind}").json()["items"]:
            stage.ask("GET", f"/v1/{kind}/{each['id']}/{part}")
    checked = fork_server.run(["service.cli", "doctor"], environment(stage.settings))
    stage.answers.append(checked.stdout + checked.stderr)


def test_no_secret_appears_in_any_output(
    stage: Stage, database: Database, s3: S3, bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job_id = live_through_everything(stage)
    looked_at(stage)
    assert {GOOD, STALE, OWN} <= {asked.token for asked in stage.hub.asked}, "each token was used"
    servers = [path for path in tmp_path_factory.getbasetemp().glob("*/logs/*") if path.is_file()]
    assert {"postgres.log", "valkey.log"} <= {path.name for path in servers}
    left = list(written(stage, database, s3, bucket, servers))
    where_the_job_is = {place.partition(" ")[0] for place, content in left if job_id.encode() in content}
    assert where_the_job_is >= {"table", "log", "artifact", "answer", "message"}, "the search finds what is there"
    assert {"log service.log", "log dispatcher.log", "log worker.log"} <= {place for place, content in left if content}
    for name, secret in stage.secrets.items():
        assert len(secret) > 20
        seen = {place for place, content in left if any(form in content for form in forms(secret))}
        assert seen == set(), f"{name} is seen"
