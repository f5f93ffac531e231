"""Reasons of broker errors in words of our own: the libraries' quote parts of the URL."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import redis

_BY_CLASS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (redis.exceptions.NoPermissionError, "the user lacks a permission; allow all commands on the keys of this deployment"),
    (redis.exceptions.AuthenticationError, "the broker refuses the password; percent-encode special characters of the password"),
    (redis.exceptions.BusyLoadingError, "the broker loads its data"),
    (redis.exceptions.ReadOnlyError, "the broker is a replica; name the primary"),
    (redis.exceptions.OutOfMemoryError, "the broker has no memory left; raise maxmemory"),
    (ssl.SSLCertVerificationError, "the broker's certificate is not trusted; name the CA's file with ?ssl_ca_certs=/path"),
    (ssl.SSLError, "broker and URL do not agree about TLS; it is rediss:// with TLS and redis:// without"),
    (socket.gaierror, "the host name cannot be resolved"),
    (ConnectionRefusedError, "nothing accepts connections at its host and port"),
    (redis.exceptions.TimeoutError, "there was no answer in time"),
    (TimeoutError, "there was no answer in time"),
)
REASONS_OF_MODES: Final = {
    "cluster": "the server runs in cluster mode; name one without it",
    "sentinel": "the server is a Sentinel; name the server that it watches",
}
"""Reasons against modes of a server."""
_BY_TEXT: Final = (
    (("WRONGPASS", "invalid password", "NOAUTH", "Authentication required"), _BY_CLASS[1][1]),
    (("max number of clients",), "the broker has no free connection; raise maxclients"),
    (("DB index", "invalid DB"), "the broker has no such database number"),
    (("MOVED", "CROSSSLOT", "same slot", "slot not served", "cluster is down", "CLUSTERDOWN"), REASONS_OF_MODES["cluster"]),
    (("unknown command",), REASONS_OF_MODES["sentinel"]),
)


def reason_of(error: BaseException) -> str:
    """Return why a call of the broker failed, with the remedy; never words of a library."""
    chain = list(_chain(error))
    for kind, reason in _BY_CLASS:
        if any(isinstance(each, kind) for each in chain):
            return reason
    for words, reason in _BY_TEXT:
        if any(word in str(each) for each in chain for word in words):
            return reason
    numbers = [each.errno for each in chain if isinstance(each, OSError) and each.errno and each.errno > 0]
    return os.strerror(numbers[0]) if numbers else "the connection was broken or refused; the broker's log has the reason"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
