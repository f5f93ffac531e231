"""Audit entries of requests: inserted before the request is processed, completed before its response is sent."""

from typing import Any, Final
from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database.engine import Session
from service.logging import redacted, request_id
from service.tenants.audit import operations, repository
from service.web.problem_responses import Internal

_LONGEST_PATH: Final = 512


def open_entry(session: Session, request: Request, *, tenant: str, key_id: str) -> None:
    """Insert the audit entry of a request, in a transaction that ends before the request is processed."""
    request.state.audit_entry = repository.add(
        session,
        tenant=tenant,
        key_id=key_id,
        action=_action_of(request),
        path=redacted(request.scope["raw_path"].decode("ascii", "replace"))[:_LONGEST_PATH],  # percent-encoded, so harmless
        request_id=request_id(),
        address=request.client.host if request.client else None,
    )


def _action_of(request: Request) -> str:
    """Return the route's name, `create_job`; of a dry run `plan_job`."""
    name: str = request.scope["route"].name
    is_dry_run = request.query_params.get("validate_only") in ("true", "1")
    return repository.DRY_RUNS.get(name, name) if is_dry_run else name


class AuditTrail:
    """ASGI middleware that records the outcome of each request with an audit entry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record the outcome of the request, also if it fails."""

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
    state: dict[str, Any] = scope.get("state", {})
    entry_id: UUID | None = state.pop("audit_entry", None)  # once: a response can fail after its start
    if entry_id is not None:
        problem = Internal.type if status == Internal.status else state.get("problem")
        database = scope["app"].state.resources.database
        await run_in_threadpool(operations.complete, database, entry_id, status=status, problem=problem, created=created)
