"""Where messages may go, and how little a receiver can do about it."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import pytest

from service.webhooks import posting
from service.webhooks.posting import post
from service.webhooks.targets import TargetRefused, check_url, is_public
from tests.support.waiting import CEILING_SECONDS

OURS = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
    "fec0::1",
    "192.0.0.192",
    "168.63.129.16",
    "::ffff:168.63.129.16",
    "2001:4860::5efe:10.0.0.1",
    "2001:4860::200:5efe:7f00:1",
]
THE_WORLDS = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2001:4860::5efe:1.1.1.1"]


@pytest.mark.parametrize("text", OURS)
def test_non_public_addresses_are_recognized(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", THE_WORLDS)
def test_a_public_address_is_accepted(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://bücher.example/ä?ü=ö", "https://xn--bcher-kva.example/%C3%A4?%C3%BC=%C3%B6"),
        ("https://EXAMPLE.com:443/a%20b", "https://EXAMPLE.com:443/a%20b"),
    ],
)
def test_a_target_is_in_ascii(url: str, target: str) -> None:
    assert check_url(url, may_be_local=False) == target


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://１２７.0.0.1/", "is not a valid URL"),
        ("https://-ü.example/", "is not a valid URL"),
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("https://", "has no host"),
        ("//example.com", "must begin with https://"),
        ("https://user:secret@example.com/", "must not contain a user"),
        ("https://user@example.com/", "must not contain a user"),
        ("https://example.com/#part", "or a fragment"),
        ("https://example.com:70000/", "is not a valid URL"),
        ("https://[::1/", "is not a valid URL"),
        ("https://exa mple.com/", "is not a valid URL"),
        ("https://example.com\\@10.0.0.1/", "is not a valid URL"),
        ("https://example.com/\r\nX: y", "is not a valid URL"),
        ("https://example.com/" + "x" * 2048, "is not a valid URL"),
        ("https://localhost/", "must have a public host"),
        ("https://api.internal/", "must have a public host"),
        ("https://127.0.0.1/", "must have a public host"),
        ("https://[::ffff:10.0.0.1]/", "must have a public host"),
        ("https://169.254.169.254/latest/meta-data", "must have a public host"),
    ],
)
def test_a_forbidden_target_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(TargetRefused, match=words.replace("(", r"\(")):
        check_url(url, may_be_local=False)


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com:8443/a?b=c", "https://1.1.1.1/"])
def test_a_public_url_is_accepted(url: str) -> None:
    assert check_url(url, may_be_local=False) == url


def test_development_mode_accepts_http_and_localhost() -> None:
    assert check_url("http://127.0.0.1:8000/hook", may_be_local=True)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that somebody tried to connect to; nothing is ever connected."""
    tried: list[str] = []

    def connect_tcp(_network: Any, host: str, *_: Any, **__: Any) -> None:
        tried.append(host)
        raise httpcore.ConnectError("not in a test")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    return tried


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Names have these addresses, the next time the next."""
    coming = iter(answers)

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in next(coming)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def send(url: str = "https://sink.example/", *, may_be_local: bool = False, seconds: float = 5) -> Any:
    return post(url, b"{}", {}, seconds=seconds, may_be_local=may_be_local)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["169.254.169.254"], ["::ffff:192.168.0.1"], ["fe80::1%lo"], []]
)
def test_a_name_that_resolves_to_a_private_address_is_refused(
    addresses: list[str], connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, addresses)
    assert send().error == "not sent: the host name resolves to an address that is not public"
    assert connected == []


def test_a_name_is_resolved_once_and_that_address_connected_to(connected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])  # a name that changes its mind
    assert send().error == "no answer: no connection"
    assert connected == ["1.1.1.1"]


def test_every_checked_address_is_tried_until_one_accepts(connected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "1.1.1.1", "8.8.8.8", "9.9.9.9", "1.0.0.1", "8.8.4.4"])
    assert send().error == "no answer: no connection"
    assert connected == ["1.1.1.1", "8.8.8.8", "9.9.9.9", "1.0.0.1"]


def test_a_silent_first_address_leaves_time_for_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def connect_tcp(_network: Any, _host: str, _port: int, timeout: float, *_: Any) -> None:
        limits.append(timeout)
        raise httpcore.ConnectTimeout("silent")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    resolve_to(monkeypatch, ["1.1.1.1", "8.8.8.8"])
    assert send(seconds=5).error == "no complete answer within 5 s"
    assert limits[0] <= 2.5 < limits[1]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("9999999999999", 86_400),
        ("9" * 400, 86_400),
        ("9" * 5000, 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2030 23:59:59 +99999999999999", None),
        ("-5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_at_most_a_day_and_never_an_error(value: str, seconds: float | None) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: {value}\r\n\r\n".encode()
    with answering(answer) as url:
        outcome = send(url, may_be_local=True)
    assert (outcome.status, outcome.wait_seconds) == (503, seconds)


def test_any_exception_is_the_outcome_of_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(*_: Any) -> None:
        raise OverflowError

    monkeypatch.setattr(posting, "_exchange", overflow)
    assert send().error == "the attempt failed in this service; its log has the reason"


def test_development_targets_are_checked_again_before_sending(connected: list[str]) -> None:
    assert send("http://127.0.0.1:1/").error == "not sent: must begin with https://"
    assert connected == []


@contextmanager
def answering(*pieces: bytes, endless: bytes = b"") -> Iterator[str]:
    """A receiver that says these bytes, whatever it is sent, and then `endless` again and again until it is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                    while endless:
                        connection.sendall(endless)
                        time.sleep(0.05)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # closing on what is unread would be a reset
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(CEILING_SECONDS)
        assert not thread.is_alive()


def test_a_receiver_without_tls_is_named_as_such() -> None:
    with answering(b"nonsense") as url:
        outcome = send(url.replace("http:", "https:"), may_be_local=True)
    assert outcome.error == "no answer: it does not speak TLS"


def test_a_receiver_with_a_slow_response_is_cut_at_the_deadline() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n", endless=b"X: y\r\n") as url:
        outcome = send(url, may_be_local=True, seconds=0.5)
    assert outcome.error == "no complete answer within 0.5 s"


def test_only_the_beginning_of_a_response_is_read() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", endless=b"x" * 4096) as url:
        outcome = send(url, may_be_local=True, seconds=30)
    assert (outcome.status, outcome.error) == (200, None)


@pytest.mark.parametrize(
    ("answer", "status", "error", "wait"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, None, None),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
            302,
            "answered 302; redirects are not followed",
            None,
        ),
        (b"HTTP/1.1 503 Away\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, "answered 503", 7.0),
        (b"HTTP/1.1 503 Away\r\nRetry-After: 999999999\r\nContent-Length: 0\r\n\r\n", 503, "answered 503", 86400.0),
        (b"HTTP/1.1 503 Away\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", 503, "answered 503", None),
        (
            b"nonsense\r\n\r\n",
            None,
            "no answer: the connection was closed before the response, or the response is not HTTP",
            None,
        ),
        (b"", None, "no answer: the connection was closed before the response, or the response is not HTTP", None),
    ],
    ids=["success", "redirect", "retry-after", "long retry-after", "bad retry-after", "not HTTP", "empty"],
)
def test_a_receivers_response_is_classified(answer: bytes, status: int | None, error: str | None, wait: float | None) -> None:
    with answering(answer) as url:
        outcome = send(url, may_be_local=True)
    assert (outcome.status, outcome.error, outcome.wait_seconds) == (status, error, wait)
