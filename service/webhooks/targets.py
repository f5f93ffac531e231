"""SSRF protection: webhook targets must be public addresses.

A host name is resolved once, all of its addresses are checked, and the connection uses a checked address, so that DNS rebinding
has no effect.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address
_NOT_PUBLIC: Final = (  # which the standard library takes for global addresses
    ipaddress.IPv6Network("fec0::/10"),  # site-local, deprecated
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata service at 192.0.0.192
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's host
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
"""Third quarter of an ISATAP address; the last is an IPv4 address."""
_LONGEST: Final = 2048
_MAX_ADDRESSES: Final = 4
"""Number of addresses of a host that are tried, each for an equal part of the remaining time."""

Address = IPv4Address | IPv6Address


class TargetRefused(ValueError):
    """Invalid webhook target; the message is for the user who set it."""


def check_url(url: str, *, may_be_local: bool) -> str:
    """Return the URL in ASCII, with an international host as `xn--…`, if it is a valid target as far as its text shows.

    Raises:
        TargetRefused: the URL is not https, contains credentials, or has a non-public address.
    """
    try:
        url = url if url.isascii() or not url.isprintable() else str(httpx.URL(url))
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):
        raise TargetRefused("is not a valid URL; use the form https://host/path") from None
    if len(url) > _LONGEST or not url.isprintable() or " " in url or "\\" in url:
        raise TargetRefused("is not a valid URL; use the form https://host/path")
    if parts.scheme != "https" and not (may_be_local and parts.scheme == "http"):
        raise TargetRefused("must begin with https://")
    if not host:
        raise TargetRefused("has no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise TargetRefused("must not contain a user, a password or a fragment")
    if not may_be_local:
        _check_host(host)
    return url


def _check_host(host: str) -> None:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        raise TargetRefused("must have a public host")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return  # a host name, resolved when a message is sent
    if not is_public(address):
        raise TargetRefused("must have a public host")


def is_public(address: Address) -> bool:
    """Return whether an address, and the IPv4 address embedded in it, is public."""
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _TRANSLATED or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped:
            return is_public(wrapped)
        if address.scope_id:
            return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class GuardedNetwork(httpcore.NetworkBackend):
    """Network backend that connects only to public addresses and ends every exchange at a deadline."""

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
        """Open a connection to the first address that accepts one. Raise TargetRefused, ConnectError, ConnectTimeout."""
        addresses = self._resolved(host, port)
        refused: Exception | None = None
        for number, address in enumerate(addresses):
            left = _left(self._deadline, timeout, httpcore.ConnectTimeout)
            seconds = left / (len(addresses) - number)
            try:
                stream = self._network.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
            else:
                return _Limited(stream, self._deadline)
        assert refused is not None
        raise refused

    def _resolved(self, host: str, port: int) -> list[str]:
        """Return the first addresses of the host, all of which are public."""
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise httpcore.ConnectError("the host name cannot be resolved") from error
        if not found or not (self._may_be_local or all(is_public(ipaddress.ip_address(each)) for each in found)):
            raise TargetRefused("the host name resolves to an address that is not public")
        return list(dict.fromkeys(found))[:_MAX_ADDRESSES]


class _Limited(httpcore.NetworkStream):
    """Stream whose reads and writes end at the deadline."""

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
