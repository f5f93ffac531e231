"""The audit log's entries are completed before their requests are answered."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.audit import repository
from service.audit.operations import Answered
from service.database import TRANSIENT, Session
from service.logging import get_logger
from service.problems import Internal

log = get_logger(__name__)

_LONGEST_PATH: Final = 512


def open_entries(session: Session, requests: Sequence[Request]) -> None:
    """Note what requests are about to do, as part of a transaction that ends before they do it. Their callers are known."""
    entries = [_entry(request) for request in requests]
    if entries:
        repository.add(session, entries)
    for request, entry in zip(requests, entries, strict=True):
        request.state.audit_entry = entry["id"]


def _entry(request: Request) -> dict[str, Any]:
    caller = request.state.caller
    return {
        "id": uuid4(),
        "tenant": caller.tenant,
        "key_id": caller.key_id,
        "action": request.scope["route"].name,
        "path": request.scope["raw_path"].decode("ascii", "replace")[:_LONGEST_PATH],  # still escaped: no character can do harm
        "request_id": request.state.request_id,
        "address": request.client.host if request.client else None,
    }


class AuditTrail:
    """ASGI middleware: writes down what came of each request whose entry was opened."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_after_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                await _complete(scope, message["status"], Headers(raw=message["headers"]).get("location"))
            await send(message)

        try:
            await self._app(scope, receive, send_after_noting)
        except Exception:
            await _complete(scope, Internal.status, None)
            raise


async def _complete(scope: Scope, status: int, created: str | None) -> None:
    """What has been done stays done, also where this cannot be noted."""
    state: dict[str, Any] = scope.get("state", {})
    entry_id: UUID | None = state.pop("audit_entry", None)  # once: an answer may break after it has begun
    if entry_id is None:
        return
    problem = Internal.type if status == Internal.status else state.get("problem")
    try:
        await scope["app"].state.resources.answered.do(Answered(entry_id, status, problem, created))
    except TRANSIENT as error:
        log.warning("audit_entry_incomplete", entry=str(entry_id), status=status, error=type(error).__name__)
