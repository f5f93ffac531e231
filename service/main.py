"""The application of the HTTP service; `python -m service` serves it."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from types import FrameType
from typing import Any, Final

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry

import service.api.artifacts
import service.api.audit
import service.api.comparisons
import service.api.datasets
import service.api.description
import service.api.events
import service.api.health
import service.api.jobs
import service.api.keys
import service.api.logs
import service.api.metrics
import service.api.models
import service.api.quotas
import service.api.recipes
import service.api.sessions
import service.api.sweeps
import service.api.triggers
import service.api.webhooks
import service.api.workers
import service.dashboard.api_page
import service.dashboard.assets
import service.dashboard.audit_pages
import service.dashboard.comparing
import service.dashboard.endpoints
import service.dashboard.error_page
import service.dashboard.job_pages
import service.dashboard.key_pages
import service.dashboard.link_sign_in
import service.dashboard.listings
import service.dashboard.model_pages
import service.dashboard.new_job
import service.dashboard.signing_in
import service.dashboard.sweep_pages
import service.dashboard.trigger_pages
import service.dashboard.webhook_pages
from service import tracing
from service.api.job_parameters import only_known_parameters
from service.broker.queue import Queue
from service.dashboard import help_site, problem_pages
from service.dashboard.rendering import compile_templates
from service.dashboard.signing_in import FORMS
from service.database.engine import Database
from service.errors import InvalidInput, Unavailable
from service.jobs import operations as jobs
from service.jobs.events.wakeups import Wakeups
from service.models.sources import ModelSources
from service.ops import startup
from service.ops.health.operations import readiness_of
from service.ops.metrics.collector import DatabaseCollector
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore
from service.tenants.rates.limiter import RateLimited, RateLimiter
from service.tenants.shares import Pool
from service.web import problem_responses as problems
from service.web.audit_middleware import AuditTrail
from service.web.authentication import Forbidden, Unauthenticated, identify
from service.web.dependencies import Resources
from service.web.openapi import document_of
from service.web.problem_responses import problem_responses
from service.web.proxy_headers import ProxyHeaders
from service.web.rate_limit_headers import RateHeaders
from service.web.request_body import BodyGuard
from service.web.request_log import RequestLog
from service.web.request_metrics import RequestMetrics

_ANSWER_SECONDS: Final = 1.5
"""Timeout of a database answer; a caller gets its 503 within 5 s."""
_CONNECTIONS: Final = 6
"""Size of the transaction pool; more concurrent transactions only compete for the interpreter lock."""
_AT_ONCE: Final = 2
"""Size of the autocommit pool, used for authentication and the audit log."""

_SUMMARY = "Prunes language models with DSnoT and related methods, and measures the effect on quality."
_V1 = (
    service.api.comparisons,  # before jobs, whose `{job_id}` would match `compare`
    service.api.jobs,
    service.api.events,
    service.api.logs,
    service.api.artifacts,
    service.api.sweeps,
    service.api.recipes,
    service.api.models,
    service.api.datasets,
    service.api.workers,
    service.api.webhooks,
    service.api.triggers,
    service.api.keys,
    service.api.sessions,
    service.api.audit,
    service.api.quotas,
)


_PAGES = (
    service.dashboard.new_job,  # before the jobs, whose `{job_id}` would match `new`
    service.dashboard.endpoints,
    service.dashboard.comparing,
    service.dashboard.sweep_pages,
    service.dashboard.listings,
    service.dashboard.webhook_pages,
    service.dashboard.trigger_pages,
    service.dashboard.model_pages,
    service.dashboard.job_pages,
    service.dashboard.key_pages,
    service.dashboard.audit_pages,
    service.dashboard.signing_in,
    service.dashboard.link_sign_in,
    service.dashboard.api_page,
    service.dashboard.error_page,
    service.dashboard.assets,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. Without `settings` it also reads the environment and configures logging, as the process's entry."""
    if settings is None:
        settings = startup.prepared("service")
        _take_logs_of_server()
        _spare_collector()
    app = FastAPI(
        title="DSnoT",
        version=version("dsnot"),
        summary=_SUMMARY,
        lifespan=_lifespan(settings),
        redirect_slashes=False,
        openapi_url=None,  # served by our own routes: cached, and without scripts of another host
        generate_unique_id_function=attrgetter("name"),
    )
    for subject in _V1:
        app.include_router(
            subject.router,
            dependencies=[Depends(identify), Depends(only_known_parameters)],
            responses=problem_responses(InvalidInput, Unauthenticated, Forbidden, RateLimited, Unavailable),
        )
    app.include_router(service.api.health.router)
    app.include_router(service.api.metrics.router)
    app.include_router(service.api.description.router)
    for part in _PAGES:
        app.include_router(part.router)
    help_site.install(app)
    problems.install(app)
    problem_pages.install(app)
    app.state.metrics = CollectorRegistry()
    app.state.exposition = service.api.metrics.Exposition(app.state.metrics)
    app.add_middleware(BodyGuard, max_bytes=settings.max_body_bytes, streamed=(*service.api.datasets.STREAMED, *FORMS))
    app.add_middleware(RateHeaders)
    app.add_middleware(AuditTrail)
    app.add_middleware(RequestMetrics, registry=app.state.metrics)
    app.add_middleware(RequestLog, as_asked=problem_pages.as_asked)
    app.add_middleware(ProxyHeaders, trusted=settings.trusted_proxies, prefix=settings.root_path)
    tracing.observe(app)
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits: dict[str, Any] = {"pool_size": _CONNECTIONS, "at_once": _AT_ONCE, "answer_seconds": _ANSWER_SECONDS}
        database = Database(settings.database_address, **limits)
        store = ArtifactStore(settings.artifact_url, settings.artifact_public_endpoint)
        queue = Queue(settings.broker_url.get_secret_value(), settings.broker_prefix or "")
        wakeups = Wakeups(settings.direct_address, settings.max_event_streams)
        readiness = readiness_of(database, store, queue)
        models, uploads = (
            ModelSources(settings, database, store, partial(jobs.find, database)),
            Pool("uploads", settings.max_uploads),
        )
        rates = RateLimiter(settings.broker_url.get_secret_value(), settings.broker_prefix or "")
        app.state.resources = Resources(settings, database, store, wakeups, readiness, models, uploads, rates)
        collector = DatabaseCollector(settings)
        app.state.metrics.register(collector)
        compile_templates()
        listener = asyncio.create_task(wakeups.run())
        with _at_stop_signal(wakeups.close):
            yield
        wakeups.close()
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
        app.state.metrics.unregister(collector)
        collector.close()
        readiness.close()
        models.close()
        queue.close()
        database.close()

    return lifespan


@contextmanager
def _at_stop_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on the event loop at SIGINT or SIGTERM, then the server's own handler.

    The server ends the lifespan only when all responses are complete, so event streams must be closed earlier.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    server = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        handler = server[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in server.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in server.items():
            signal.signal(number, handler)


def _take_logs_of_server() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # uvicorn configures its handlers before it calls the factory
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # RequestLog logs requests


def _spare_collector() -> None:
    """Exempt imported objects from garbage collection: a full collection delayed requests by 0.2 s."""
    gc.collect()
    gc.freeze()
