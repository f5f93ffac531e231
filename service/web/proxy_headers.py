"""Reverse proxies: client address, scheme and path prefix from the headers of trusted ones, and the prefix of responses."""

import re
from collections.abc import Sequence
from typing import AnyStr, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HEADER: Final = "x-forwarded-prefix"
_STATE: Final = "path_prefix"


def prefix_of(request: Request) -> str:
    """Return the path prefix under which the client sees the service: `/tools/dsnot`, or an empty string."""
    prefix: str = getattr(request.state, _STATE, "")
    return prefix


class ProxyHeaders:
    """ASGI middleware, outermost: the application below it sees paths without the prefix, and the client's address and scheme.

    Args:
        trusted: addresses and networks whose `X-Forwarded-For`, `-Proto` and `-Prefix` are believed.
        prefix: path prefix without such a header; the proxy may strip it or pass it on.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str], prefix: str = "") -> None:
        self._app, self._prefix = app, prefix
        self._forwarded = ProxyHeadersMiddleware(self._answer, list(trusted))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process the request; the prefix is read first, while the scope still holds the proxy's own address."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        prefix = self._prefix_of(scope)
        scope.setdefault("state", {})[_STATE] = prefix
        scope["path"], scope["raw_path"] = _without(scope["path"], prefix), _without(scope["raw_path"], prefix.encode())
        scope["root_path"] = ""
        await self._forwarded(scope, receive, send)  # type: ignore[arg-type]

    def _prefix_of(self, scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else None
        given = Headers(scope=scope).get(_HEADER) if peer in self._forwarded.trusted_hosts else None
        if given is not None:
            parts = (part.strip().strip("/") for part in given.split(","))  # one from each proxy
            prefix = "".join(f"/{part}" for part in parts if part)
            if PREFIX.fullmatch(prefix):
                return prefix
        return self._prefix

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = scope["state"][_STATE]

        async def send_with_prefix(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/"):
                    headers["location"] = prefix + location
            await send(message)

        await self._app(scope, receive, send_with_prefix if prefix else send)


def _without(path: AnyStr, prefix: AnyStr) -> AnyStr:
    """Return the path without the prefix, if a proxy has passed it on."""
    slash = path[:1]
    if not prefix or not (path + slash).startswith(prefix + slash):
        return path
    return path[len(prefix) :] or slash
