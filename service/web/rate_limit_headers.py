"""Rate-limit headers of responses."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.tenants.rates.limiter import Standing


class RateHeaders:
    """ASGI middleware that adds `RateLimit` and `RateLimit-Policy` to the responses of counted requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers."""

        async def send_with_standing(message: Message) -> None:
            standing: Standing | None = scope.get("state", {}).get("standing")
            if message["type"] == "http.response.start" and standing is not None:
                MutableHeaders(scope=message).update(standing.headers())
            await send(message)

        await self._app(scope, receive, send_with_standing)
