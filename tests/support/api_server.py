"""A real HTTP service in a thread, and what tests of the API put into the database by hand."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from sqlalchemy import update

from service.contract.scopes import Scope
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.main import create_app
from service.settings import Settings
from service.tenants.keys.operations import create_key
from service.web.http_connection import HttpConnection
from tests.support.waiting import CEILING_SECONDS, eventually

BODY: dict[str, Any] = {"model": {"id": "facebook/opt-125m"}}
"""The smallest that is accepted."""


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of a running service with these settings."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings)
    config = uvicorn.Config(app, log_config=None, http=HttpConnection, proxy_headers=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started, "the service did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(CEILING_SECONDS)
        assert not thread.is_alive(), "the service did not stop"


@contextmanager
def client(url: str, key: str | None) -> Iterator[httpx.Client]:
    """A client that holds the key."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=CEILING_SECONDS, verify=False) as opened:  # noqa: S501
        yield opened


def key_for(database: Database, *scopes: Scope, tenant: str = "acme") -> str:
    """The plaintext of a new key."""
    return create_key(database, tenant=tenant, name="test", scopes=scopes)[1]


def insert_job(database: Database, *, state: JobState = JobState.QUEUED, tenant: str = "acme", **values: Any) -> UUID:
    """A job in any state, past the API and the transitions."""
    spec = JobSpec.model_validate(BODY)
    job = Job(
        id=uuid4(),
        tenant=tenant,
        state=state,
        spec=spec.stored(),
        model=spec.model.id,
        labels={},
        priority=0,
        max_attempts=3,
    )
    for name, value in values.items():
        setattr(job, name, value)
    with database.begin() as session:
        session.add(job)
    return job.id


def set_job(database: Database, job_id: UUID | str, **values: Any) -> None:
    """Change columns of a job, as a worker would; the transitions hold."""
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == UUID(str(job_id))).values(**values))


def problem(response: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, code, pointers; checks that it is a problem document."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["title"]
    assert document["detail"]
    assert document["type"].endswith(f"/errors#{document['code']}")
    return response.status_code, document["code"], [error["pointer"] for error in document.get("errors", [])]


def wait_for(api: httpx.Client) -> None:
    """Return once the service answers."""
    eventually(lambda: is_alive(api))


def is_alive(api: httpx.Client) -> bool:
    try:
        return api.get("/livez").is_success
    except httpx.TransportError:
        return False
