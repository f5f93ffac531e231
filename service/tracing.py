"""OpenTelemetry traces, from a request through outbox and queue to the stages of an attempt.

An attempt may begin long after the request, and for another job than the message names, so it has its own trace with links to
both. Nothing is recorded unless OpenTelemetry's environment variables name a collector.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from fastapi import FastAPI

_COLLECTOR: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_EXPORT_SECONDS: Final = 3.0
"""Deadline of an export, retries included: a flush has none of its own, so it takes this long if the collector is unreachable."""
_QUIET: Final = "livez,readyz,metrics"

_tracer = trace.get_tracer("dsnot")
_context = TraceContextTextMapPropagator()

Value = str | int | float | bool


class TracingNotInstalled(Exception):
    """Start-up error: a collector is configured and the extra `otel` is not installed."""


def configure(program: str) -> None:
    """Export the spans of this process to the collector, if one is configured.

    Raises:
        TracingNotInstalled: a collector is configured and the extra `otel` is not installed.
    """
    if not _has_collector():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingNotInstalled("a collector is configured and OpenTelemetry is not installed; install dsnot[otel]") from error
    name = os.environ.get("OTEL_SERVICE_NAME") or f"dsnot-{program}"
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version("dsnot")}))
    timeout = None if any(os.environ.get(name) for name in _TIMEOUTS) else _EXPORT_SECONDS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    trace.set_tracer_provider(provider)


def observe(app: "FastAPI") -> None:
    """Create a span per request except probes and metrics, as a child of the caller's span if it sends one."""
    if _has_collector():
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, excluded_urls=_QUIET, exclude_spans=["receive", "send"])


def flush() -> None:
    """Export pending spans before the process ends; each batch has the deadline of an export."""
    provider = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):  # the API's default provider has no force_flush
        provider.force_flush()


def current() -> str | None:
    """Return the current span as `traceparent` (W3C Trace Context); None without one."""
    return headers().get("traceparent")


def headers() -> dict[str, str]:
    """Return the message headers that carry the current trace context."""
    carrier: dict[str, str] = {}
    _context.inject(carrier)
    return carrier


@contextmanager
def producing(name: str, parent: str | None, attributes: Mapping[str, Value]) -> Iterator[None]:
    """Run the body in a producer span, a child of the span that enqueued the message."""
    context = _context.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(name, context, SpanKind.PRODUCER, dict(attributes)):
        yield


@contextmanager
def consuming(name: str, causes: Mapping[str, str | None], attributes: Mapping[str, Value]) -> Iterator[None]:
    """Run the body in the root span of a new trace, with links to the spans that caused it."""
    links = [link for cause, parent in causes.items() if parent and (link := _link(cause, parent))]
    with _tracer.start_as_current_span(name, kind=SpanKind.CONSUMER, links=links, attributes=dict(attributes)):
        yield


def begin(name: str) -> Span:
    """Start and return a child of the current span; the caller must end it."""
    return _tracer.start_span(name)


def failed(reason: str, span: Span | None = None) -> None:
    """Set the status of a span, by default the current one, to error."""
    (span or trace.get_current_span()).set_status(Status(StatusCode.ERROR, reason))


def ids() -> dict[str, str]:
    """Return the trace and span id of the current span for a log line; empty without one."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _has_collector() -> bool:
    return any(os.environ.get(name) for name in _COLLECTOR)


def _link(cause: str, parent: str) -> Link | None:
    found = trace.get_current_span(_context.extract({"traceparent": parent})).get_span_context()
    return Link(found, {"dsnot.cause": cause}) if found.is_valid else None
