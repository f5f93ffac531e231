"""What the client finds in its environment: each wrong value becomes one sentence, none is quoted."""

import ssl
from pathlib import Path

import httpx
import pytest

from service.client import Client, NotConfigured, Unreachable, discovery
from service.embedded.lock import exclusive
from tests.support.client_kinds import KINDS, client_on

SECRET = "dsnot_abc_s3cret"


@pytest.mark.parametrize("key", [f"{SECRET}\nx", "", "  ", f"{SECRET} x", f"{SECRET}\N{ZERO WIDTH SPACE}", "\x1b[A"])
def test_a_malformed_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(NotConfigured, match="copy it again") as caught:
        Client("http://service", key or " ")
    assert "s3cret" not in str(caught.value)


def test_blanks_around_key_and_url_are_dropped() -> None:
    assert discovery.address(" http://service/below/ \n", f"{SECRET}\n") == ("http://service/below", SECRET)


@pytest.mark.parametrize("url", ["service", "localhost:8321", "ftp://x", "http://", "http://[::1", "http://h:x", "http://a\nb"])
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(NotConfigured, match="set DSNOT_URL"):
        Client(url, SECRET)


def test_a_url_with_credentials_is_refused_without_them() -> None:
    with pytest.raises(NotConfigured) as caught:
        Client("https://me:pa55@service", SECRET)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("NO_PROXY", "[::1]", "NO_PROXY"),
        ("NO_PROXY", "fd00::/8", "NO_PROXY"),
        ("HTTP_PROXY", "ftp://proxy", "HTTP_PROXY"),
        ("HTTPS_PROXY", "http://[::1", "HTTPS_PROXY"),
        ("ALL_PROXY", "socks5://proxy:1080", r"httpx\[socks\]"),
        ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE"),
    ],
)
def test_unusable_proxies_and_certificates_are_named(
    variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(NotConfigured, match=words):
        Client("http://service", SECRET)


def test_without_a_home_directory_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DSNOT_HOME", raising=False)
    monkeypatch.delenv("DSNOT_URL", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError()))
    with pytest.raises(NotConfigured, match="set DSNOT_HOME"):
        Client()


def test_a_stack_that_is_starting_is_not_called_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSNOT_HOME", str(tmp_path))
    monkeypatch.delenv("DSNOT_URL", raising=False)
    with pytest.raises(NotConfigured, match=f"no service is running on {tmp_path}"):
        Client()
    with exclusive(tmp_path), pytest.raises(NotConfigured, match=f"the stack on {tmp_path} is starting or stopping"):
        Client()


def raised(error: httpx.RequestError, cause: Exception | None = None) -> httpx.RequestError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.LocalProtocolError(f"Illegal header value b'Bearer {SECRET}'"), "characters that HTTP headers cannot have"),
        (raised(httpx.ConnectError("x"), ConnectionRefusedError(111, "x")), "connection refused"),
        (raised(httpx.ConnectError("x"), ssl.SSLCertVerificationError(1, "x")), "not trusted; SSL_CERT_FILE names other"),
        (raised(httpx.ConnectError("x"), ssl.SSLError(1, "x")), "does not speak TLS; use http://"),
        (httpx.ReadTimeout("x"), "no answer in time"),
        (httpx.DecodingError("Error -3"), "damaged"),
    ],
)
def test_a_failed_request_is_explained_in_own_words(kind: str, error: httpx.RequestError, words: str) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(Unreachable, match=words) as caught:
        client_on(kind, answer, patience=0).jobs.get("1")
    assert str(error) not in str(caught.value)
