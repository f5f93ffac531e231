"""Secrets do not reach a log, by whatever way they come."""

import io
import json
import logging
from collections.abc import Iterator

import psycopg
import pytest
import redis
from celery import Celery

from service.database.connecting import arguments_of
from service.logging import configure_logging, get_logger, redact
from service.settings import Settings

KEY = "dsnot_abcdefghijkl_" + "S3cret-_x" * 5
PASSWORD = "postgresql://dsnot:hunter2!$@db.internal/jobs"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    output, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stderr", output)
    configure_logging("INFO", "json")
    yield output
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "field", ["authorization", "Authorization", "password", "db_password", "client_secret", "hf_token", "api_key"]
)
def test_fields_that_are_secret_by_name_are_blanked(field: str) -> None:
    assert redact(None, "", {field: "anything"}) == {field: "[redacted]"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {KEY} seen", "S3cret"),
        (f"at {PASSWORD}", "hunter2"),
        ("redis://:p4ss@host:6379/0", "p4ss"),
        ("hf_abcdefghijklmnop", "ijklmnop"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw= given", "UPD8ILPZ"),
        ("PUT https://s3.example/b/k?X-Amz-Credential=me&X-Amz-Signature=3f2a9c given", "3f2a9c"),
        ("GET https://cdn.example/k?Expires=1&Signature=kq~Zt-9_&Key-Pair-Id=K2 given", "kq~Zt-9_"),
    ],
)
def test_secrets_inside_text_are_blanked_and_the_rest_stays(text: str, secret: str) -> None:
    line = redact(None, "", {"event": text})["event"]
    assert secret not in line
    assert "[redacted]" in line


@pytest.mark.parametrize("text", ["job_claimed", "dsnot.prune", "https://host/path", "a token of thanks", "/v1/jobs"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert redact(None, "", {"event": text}) == {"event": text}


def test_secrets_in_exceptions_and_library_logs_are_blanked(written: io.StringIO) -> None:
    try:
        raise ValueError(f"cannot connect to {PASSWORD}")
    except ValueError:
        get_logger("test").exception("failed", detail=KEY)
        logging.getLogger("library").exception("bad header: %s", f"Bearer {KEY}")
    assert "hunter2" not in written.getvalue()
    assert "S3cret" not in written.getvalue()
    assert [json.loads(line)["level"] for line in written.getvalue().splitlines()] == ["error", "error"]


def test_secrets_of_libraries_in_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"AWS_SECRET_ACCESS_KEY": "aws-secret", "AZURE_STORAGE_KEY": "azure-secret", "HF_TOKEN": "hub-secret"}
    public = {"HF_TOKEN_PATH": "/home/token", "TOKENIZERS_PARALLELISM": "false", "DSNOT_SIGNING_KEY": "/keys/signing.pem"}
    for name, value in (secret | public).items():
        monkeypatch.setenv(name, value)
    known = settings_of({"database_url": "postgresql://u@h/d", "broker_url": "redis://h/0"}).secrets()
    assert set(secret.values()) <= set(known)
    assert set(public.values()).isdisjoint(known)


def settings_of(fields: dict[str, str]) -> Settings:
    return Settings.model_validate(fields | {"artifact_url": "file:///x", "model_root": "/x", "cache_dir": "/x"})


def test_known_secrets_are_blanked_wherever_a_library_writes_them(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(
        {
            "database_url": "postgresql://u:s5%2Fdatabase@127.0.0.1:1/d",
            "database_direct_url": "postgresql://u@127.0.0.1:1/d?password=s5direct",
            "broker_url": "redis://:s5%23broker@127.0.0.1:1/0",
            "secret_key": "s5" * 20,
        }
    )
    monkeypatch.setattr("sys.stderr", written)
    configure_logging("DEBUG", "json", settings.secrets())
    broker = settings.broker_url.get_secret_value()
    told = [
        arguments_of(settings.database_address),
        psycopg.conninfo.make_conninfo("", **arguments_of(settings.direct_address)),
        redis.Redis.from_url(broker),
        Celery(broker=broker).conf,
        Celery(broker=broker).connection().info(),
        settings.secret_key.get_secret_value() if settings.secret_key else "",
    ]
    for each in told:
        get_logger("test").info("written", value=each)
        logging.getLogger("library").debug("connecting with %r", each)
    for provoke in (lambda: psycopg.connect(**arguments_of(settings.direct_address)), redis.Redis.from_url(broker).ping):
        try:
            provoke()
        except (psycopg.Error, redis.RedisError):
            logging.getLogger("library").exception("refused: %r", provoke)
    lines = written.getvalue().splitlines()
    assert len(lines) == 2 * len(told) + 2
    assert sum("[redacted]" in line for line in lines) == 2 * len(told) - 2, "redis-py blanks it itself"
    assert "s5" not in written.getvalue()


def test_a_log_line_is_always_one_json_object(written: io.StringIO) -> None:
    get_logger("test").info("two\nlines", value='"quoted"', number=3)
    (line,) = written.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["event"], fields["value"], fields["number"], fields["level"]) == ("two\nlines", '"quoted"', 3, "info")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["/" + "://:" * 20_000, "://:" * 20_000 + "@", "dsnot_" * 20_000, "hf_" * 20_000])
def test_redaction_reads_a_long_text_once(text: str) -> None:
    assert redact(None, "", {"path": text})["path"]
