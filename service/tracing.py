"""Traces by OpenTelemetry: from a request over outbox and queue to the stages of the attempts.

An attempt may begin long after the request, and for another job than the message that woke the worker names: it has a trace of
its own, with links to both. Nothing is recorded unless OpenTelemetry's own variables name a collector.
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
_FLUSH_MILLISECONDS: Final = 3000
_QUIET: Final = "livez,readyz,metrics"

_tracer = trace.get_tracer("dsnot")
_context = TraceContextTextMapPropagator()

Value = str | int | float | bool


class TracingNotInstalled(Exception):
    """The sentence for whoever starts the process."""


def configure(program: str) -> None:
    """Send the spans of this process to the collector, if there is one.

    Raises:
        TracingNotInstalled: there is, and the extra `otel` is missing.
    """
    if not _has_collector():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingNotInstalled("a collector is named, and OpenTelemetry is not installed; install dsnot[otel]") from error
    name = os.environ.get("OTEL_SERVICE_NAME") or f"dsnot-{program}"
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version("dsnot")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def observe(app: "FastAPI") -> None:
    """Have every request but those of probes make a span, below the caller's if it sends one."""
    if _has_collector():
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, excluded_urls=_QUIET, exclude_spans=["receive", "send"])


def flush() -> None:
    """Send what has not been sent, before the process ends; a collector that does not answer is not waited for long."""
    provider = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):  # which the API's own provider has not
        provider.force_flush(_FLUSH_MILLISECONDS)


def current() -> str | None:
    """The span that goes on, as `traceparent` (W3C Trace Context); None if there is none."""
    return headers().get("traceparent")


def headers() -> dict[str, str]:
    """What a message carries so that its receiver can link to the span that goes on."""
    carrier: dict[str, str] = {}
    _context.inject(carrier)
    return carrier


@contextmanager
def producing(name: str, parent: str | None, attributes: Mapping[str, Value]) -> Iterator[None]:
    """A span of handing a message over, below the one that wanted it sent."""
    context = _context.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(name, context, SpanKind.PRODUCER, dict(attributes)):
        yield


@contextmanager
def consuming(name: str, causes: Mapping[str, str | None], attributes: Mapping[str, Value]) -> Iterator[None]:
    """The first span of a new trace, with a link to each cause that is known."""
    links = [link for cause, parent in causes.items() if parent and (link := _link(cause, parent))]
    with _tracer.start_as_current_span(name, kind=SpanKind.CONSUMER, links=links, attributes=dict(attributes)):
        yield


def begin(name: str) -> Span:
    """A span below the one that goes on. Whoever began it has to end it."""
    return _tracer.start_span(name)


def failed(reason: str, span: Span | None = None) -> None:
    """Mark a span, by default the one that goes on, as one that went wrong."""
    (span or trace.get_current_span()).set_status(Status(StatusCode.ERROR, reason))


def ids() -> dict[str, str]:
    """The ids of the span that goes on, for a line of the log."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _has_collector() -> bool:
    return any(os.environ.get(name) for name in _COLLECTOR)


def _link(cause: str, parent: str) -> Link | None:
    found = trace.get_current_span(_context.extract({"traceparent": parent})).get_span_context()
    return Link(found, {"dsnot.cause": cause}) if found.is_valid else None
