"""Reasons of failed HTTP requests in words of our own: the libraries' texts may quote headers and thus a key."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

_REASONS: Final = {
    "ConnectTimeout": "no connection in time",
    "TimeoutException": "no answer in time",
    "TimeoutError": "no answer in time",
    "ProxyError": "the proxy of the environment refuses the connection; check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY",
    "UnsupportedProtocol": "a redirect leads to an address that is not http:// or https://",
    "LocalProtocolError": "the request contains characters that HTTP headers cannot have",
    "RemoteProtocolError": "the connection was closed before the response, or the response is not HTTP",
    "DecodingError": "the compressed response is damaged",
    "TooManyRedirects": "redirects do not end",
    "ConnectError": "no connection",
}
"""Reasons by the names of classes, which httpx and httpcore have alike."""
_OTHER: Final = "the connection broke"
UNTRUSTED: Final = "its certificate is not trusted"
NO_TLS: Final = "it does not speak TLS"


def reason_of(error: Exception) -> str:
    """Return what went wrong with a request of httpx, httpcore or a library on them; the system's reason if there is one."""
    chain = list(chain_of(error))
    kinds = [kind.__name__ for each in chain for kind in type(each).__mro__]
    found = next((kind for kind in kinds if kind in _REASONS), "ConnectError")
    if found == "ConnectError":
        for each in chain:
            if isinstance(each, ssl.SSLCertVerificationError):
                return UNTRUSTED
            if isinstance(each, ssl.SSLError):
                return NO_TLS
            if isinstance(each, socket.gaierror):
                return "the host name cannot be resolved"
            if isinstance(each, OSError) and each.errno:
                return os.strerror(each.errno).lower()
    return _REASONS[found] if found in kinds else _OTHER


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and the chain of its causes, members of exception groups included."""
    yield error
    for cause in (error.__cause__ or error.__context__, *getattr(error, "exceptions", ())):
        if cause is not None:
            yield from chain_of(cause)
