"""Reasons of failed requests in words of this client: the libraries' texts may quote headers and thus the API key."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

_REASONS: Final[dict[type[Exception], str]] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.TimeoutException: "no answer in time",
    httpx.ProxyError: "the proxy of the environment refuses the connection; check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY",
    httpx.UnsupportedProtocol: "a redirect leads to an address that is not http:// or https://",
    httpx.LocalProtocolError: "the request contains characters that HTTP headers cannot have",
    httpx.RemoteProtocolError: "the connection was closed before the response, or the response is not HTTP",
    httpx.DecodingError: "the compressed response is damaged",
    httpx.TooManyRedirects: "redirects do not end",
    httpx.ConnectError: "no connection",
    httpx.RequestError: "the connection broke",
}


def reason_of(error: httpx.RequestError) -> str:
    """Return what went wrong; of failed connections, the operating system's reason."""
    if isinstance(error, httpx.ConnectError):
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return "its certificate is not trusted; SSL_CERT_FILE names other authorities"
            if isinstance(cause, ssl.SSLError):
                return "it does not speak TLS; use http:// if it has none"
            if isinstance(cause, socket.gaierror):
                return "the host name cannot be resolved"
            if isinstance(cause, OSError) and cause.errno:
                return os.strerror(cause.errno).lower()
    return next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the chain of causes, members of exception groups included."""
    for cause in (error.__cause__ or error.__context__, *getattr(error, "exceptions", ())):
        if cause is not None:
            yield cause
            yield from _causes(cause)
