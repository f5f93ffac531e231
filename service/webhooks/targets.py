"""Which addresses messages may go to: only the world's, never a network of ours.

A name is resolved once, every address that it has is looked at, and the connection goes to an address that was looked at: a name
that changes its mind in between gains nothing.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address
_LONGEST: Final = 2048

Address = IPv4Address | IPv6Address


class TargetRefused(ValueError):
    """The sentence for whoever set the address."""


def check_url(url: str, *, may_be_local: bool) -> str:
    """The address itself, if messages may go there as far as its text tells.

    Raises:
        TargetRefused: it is not https, holds credentials, or names an address that is not the world's.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise TargetRefused("is no address; it must be like https://host/path") from None
    if len(url) > _LONGEST or not url.isprintable() or " " in url or "\\" in url:
        raise TargetRefused("is no address; it must be like https://host/path")
    if parts.scheme != "https" and not (may_be_local and parts.scheme == "http"):
        raise TargetRefused("must begin with https://")
    if not host:
        raise TargetRefused("names no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise TargetRefused("must hold no user, no password and no fragment")
    if not may_be_local:
        _check_host(host)
    return url


def _check_host(host: str) -> None:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        raise TargetRefused("must name a host of the internet")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return  # a name, which is looked up when a message goes out
    if not is_of_the_world(address):
        raise TargetRefused("must name a host of the internet")


def is_of_the_world(address: Address) -> bool:
    """Whether an address, and the IPv4 address that it may wrap, is neither private nor special in another way."""
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _TRANSLATED:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped:
            return is_of_the_world(wrapped)
        if address.scope_id:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects where it is allowed, and ends every exchange at a deadline, however slowly the other side talks."""

    def __init__(self, *, seconds: float, may_be_local: bool) -> None:
        self._network = httpcore.SyncBackend()
        self._deadline = time.monotonic() + seconds
        self._may_be_local = may_be_local

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises TargetRefused, httpcore.ConnectError, httpcore.ConnectTimeout."""
        seconds = _left(self._deadline, timeout, httpcore.ConnectTimeout)
        stream = self._network.connect_tcp(self._resolved(host, port), port, seconds, local_address, socket_options)
        return _Limited(stream, self._deadline)

    def _resolved(self, host: str, port: int) -> str:
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise httpcore.ConnectError("the host's name cannot be resolved") from error
        if not found or not (self._may_be_local or all(is_of_the_world(ipaddress.ip_address(each)) for each in found)):
            raise TargetRefused("the host's name leads to an address that is not the world's")
        return found[0]


class _Limited(httpcore.NetworkStream):
    """A stream that no read or write keeps open beyond the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = _left(self._deadline, timeout, httpcore.ConnectTimeout)
        return _Limited(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None, late: type[Exception]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the exchange took too long")
    return left if timeout is None else min(left, timeout)
