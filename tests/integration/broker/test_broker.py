"""The broker with TLS, shared by two deployments, and its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from service.broker.queue import Queue, QueueUnavailable
from service.broker.reasons import reason_of
from service.contract.devices import QUEUE, DeviceClass
from service.embedded import valkey
from service.embedded.processes import Child, free_port
from service.ops.startup import NotUsable, _check_broker, with_broker_prefix
from service.settings import Settings
from service.tenants.rates.limiter import Kind, RateLimiter
from tests.support.servers import at
from tests.support.tls import encrypted
from tests.support.waiting import eventually
from worker.app import create_app


@pytest.fixture
def tls(broker_url: str, broker: "redis.Redis", tmp_path: Path) -> Iterator[str]:
    """The broker's URL through TLS, and `{ca}` where the file of its certificate goes."""
    place = urlsplit(broker_url)
    with encrypted(place.port or 0, tmp_path) as (port, _):
        yield f"rediss://:{place.password}@127.0.0.1:{port}/0"


def consumed(settings: Settings) -> str | None:
    """The name of the task whose message a worker takes, if there is one."""
    app = create_app(settings, DeviceClass.CPU)
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get(QUEUE)
        return str(message.headers["task"]) if message else None


@pytest.mark.parametrize("query", ["ssl_ca_certs={ca}", "ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=none"])
def test_every_client_of_the_broker_takes_tls(settings: Settings, tls: str, tmp_path: Path, query: str) -> None:
    own = at(settings, broker_url=f"{tls}?{query}".replace("{ca}", str(tmp_path / "ca.pem")))
    url = own.broker_url.get_secret_value()
    _check_broker(own)
    queue = Queue(url)
    queue.send("a.task", {}, QUEUE)
    assert queue.backlog(QUEUE) == 1
    assert consumed(own) == "a.task"
    queue.close()
    limiter = RateLimiter(url)
    assert limiter.count(Kind.READS, "somebody", limit=5)[0].remaining == 4  # style: allow
    assert limiter._ask_again_at == 0, "it was counted by the broker"


def test_an_unknown_certificate_of_the_broker_is_refused_by_every_client(settings: Settings, tls: str) -> None:
    own = at(settings, broker_url=tls)
    with pytest.raises(NotUsable, match=r"certificate is not trusted; name the CA's file with \?ssl_ca_certs="):
        _check_broker(own)
    queue = Queue(own.broker_url.get_secret_value())
    for call in (lambda: queue.send("a.task", {}, QUEUE), lambda: queue.backlog(QUEUE)):
        with pytest.raises(QueueUnavailable, match="certificate is not trusted"):
            call()
    queue.close()


def test_deployments_that_share_a_broker_take_only_their_own_messages(settings: Settings, broker: "redis.Redis") -> None:
    url = settings.broker_url.get_secret_value()
    ours = with_broker_prefix(settings.model_copy(update={"broker_prefix": None}))
    theirs = settings.model_copy(update={"broker_prefix": "theirs:"})
    assert ours.broker_prefix
    queue, other = Queue(url, ours.broker_prefix), Queue(url, "theirs:")
    queue.send("our.task", {}, QUEUE)
    assert (queue.backlog(QUEUE), other.backlog(QUEUE)) == (1, 0)
    assert consumed(theirs) is None
    assert consumed(ours) == "our.task"
    RateLimiter(url, ours.broker_prefix).count(Kind.READS, "somebody", limit=5)  # style: allow
    assert {bytes(key).partition(b":")[0].decode() + ":" for key in broker.scan_iter()} <= {ours.broker_prefix, "theirs:"}
    queue.close()
    other.close()


def test_errors_of_the_broker_have_reasons_without_secrets(broker_url: str, settings: Settings) -> None:
    place = urlsplit(broker_url)
    wrong = {
        f"redis://:s5cret@127.0.0.1:{place.port}/0": "refuses the password",
        f"redis://who:s5cret@127.0.0.1:{place.port}/0": "refuses the password",
        f"redis://127.0.0.1:{place.port}/0": "refuses the password",
        f"redis://:{place.password}@127.0.0.1:{place.port}/999": "no such database number",
        f"redis://:s5cret@127.0.0.1:{free_port()}/0": "nothing accepts connections",
        "redis://:s5cret@nowhere.invalid/0": "the host name cannot be resolved",
    }
    for url, reason in wrong.items():
        with pytest.raises(NotUsable, match=reason) as raised:
            _check_broker(at(settings, broker_url=url))
        assert "s5cret" not in str(raised.value)
        queue = Queue(at(settings, broker_url=url).broker_url.get_secret_value())
        for call in (lambda: queue.send("a.task", {}, QUEUE), lambda: queue.backlog(QUEUE)):  # noqa: B023
            with pytest.raises(QueueUnavailable, match=reason):
                call()
        queue.close()


def test_a_replica_and_a_full_server_are_told_apart() -> None:
    assert "replica" in reason_of(redis.exceptions.ReadOnlyError("READONLY You can't write against a read only replica."))
    assert "maxmemory" in reason_of(redis.exceptions.OutOfMemoryError("OOM command not allowed"))
    assert "maxclients" in reason_of(redis.exceptions.ConnectionError("max number of clients reached"))


@pytest.mark.parametrize("mode", ["cluster", "sentinel"])
def test_a_server_in_another_mode_is_refused_at_start_and_named_later(settings: Settings, tmp_path: Path, mode: str) -> None:
    own = at(settings, broker_url=f"redis://127.0.0.1:{free_port()}/0")
    url = own.broker_url.get_secret_value()
    with running_in(mode, urlsplit(url).port or 0, tmp_path):
        eventually(lambda: valkey._answers(url))
        with pytest.raises(NotUsable, match=f"(?i){mode}"):
            _check_broker(own)
        queue = Queue(url)
        for call in (lambda: queue.send("a.task", {}, QUEUE), lambda: queue.backlog(QUEUE)):
            with pytest.raises(QueueUnavailable, match=f"(?i){mode}.*; name"):
                call()
        queue.close()


@contextmanager
def running_in(mode: str, port: int, folder: Path) -> Iterator[None]:
    """A server in cluster mode, with no slots yet, or a Sentinel."""
    configuration = folder / "valkey.conf"
    options = {"cluster": ["--cluster-enabled", "yes", "--cluster-port", str(free_port())], "sentinel": ["--sentinel"]}[mode]
    configuration.write_text(f"bind 127.0.0.1\nport {port}\ndir {folder}\n")
    child = Child.start("valkey", [str(valkey._program()), str(configuration), *options], folder / "logs")
    try:
        yield
    finally:
        child.stop(5)


def test_the_embedded_valkey_starts_in_a_folder_with_a_space_and_quotes(tmp_path: Path) -> None:
    child, url = valkey.start(tmp_path / 'a "home" \\ with spaces')
    child.stop(5)
    assert url.startswith("redis://")
