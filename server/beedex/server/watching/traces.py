"""OpenTelemetry traces: a span for each request, or item of a stream, and one within it for each stay in a stage.

Spans are made when a request has ended, with the times that were noted, so that it pays nothing for them while it is
under way. What is served may change while the process lives, and a trace's resource may not; so fingerprint and
snapshot are attributes of the spans.

Only who asks for traces imports this module, which needs the extra `otel`. Certificates and headers for the collector
are taken from the variables that OpenTelemetry names, such as OTEL_EXPORTER_OTLP_HEADERS.
"""

import asyncio
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from beedex.server.calls.work import Call, Work

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

__all__ = ["Traces", "connect_collector"]

SERVICE_NAME = "beedex"

# A collector that is away holds up nothing but this thread, and the server's end for no longer than a moment.
MOST_EXPORT_S = 5
MOST_CLOSING_S = 2.0

NANOSECONDS = 1_000_000_000

# What OpenTelemetry calls an error of the server; the others are the caller's.
FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def connect_collector(endpoint: str) -> OTLPSpanExporter:
    """Return what sends spans to an OTLP collector over gRPC, which need not be there yet."""
    return OTLPSpanExporter(endpoint, timeout=MOST_EXPORT_S)


class Traces:
    """Makes spans of what has ended; a listener of `TrafficWatch`.

    Args:
        exporter: takes them to where they are read, on a thread of its own.
        share: of the requests whose caller doesn't say whether they are traced.
    """

    def __init__(self, exporter: SpanExporter, *, share: float = 1.0) -> None:
        self._exporter = exporter
        self._provider = _make_provider(exporter, share)
        self._tracer = self._provider.get_tracer("beedex.server", version("beedex"))
        self._propagator = TraceContextTextMapPropagator()

    def end_work(self, work: Work) -> None:
        """Make the spans of a request or item, and note the trace on it."""
        # Anew each time: the wall clock may be set while the server runs.
        offset_ns = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            work.method.removeprefix("/"),
            context=self._find_parent(work),
            kind=SpanKind.SERVER,
            attributes=_describe(work),
            start_time=_to_ns(work.began_s, offset_ns),
        )
        if span.is_recording():
            work.trace_id = f"{span.get_span_context().trace_id:032x}"
            context = set_span_in_context(span)
            for stay in work.stages:
                stage = self._tracer.start_span(
                    stay.stage.value, context=context, start_time=_to_ns(stay.began_s, offset_ns)
                )
                stage.end(_to_ns(stay.ended_s, offset_ns))
            if work.code in FAULTS:
                span.set_status(Status(StatusCode.ERROR, work.reason or work.code.name))
        span.end(_to_ns(work.ended_s, offset_ns))

    def end_call(self, call: Call) -> None:
        """Do nothing: the works of a call have told all."""

    def _find_parent(self, work: Work) -> "Context | None":
        if work.call is None or not work.call.identity.traceparent:
            return None
        identity = work.call.identity
        return self._propagator.extract({"traceparent": identity.traceparent, "tracestate": identity.tracestate})

    async def close(self) -> None:
        """Send what is left, for a moment at most, and end."""
        closing = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait({closing}, timeout=MOST_CLOSING_S)
        if not closing.done():
            # It gives up what it tries, and what is left.
            self._exporter.shutdown()
        await closing


def _make_provider(exporter: SpanExporter, share: float) -> TracerProvider:
    resource = Resource.create({"service.name": SERVICE_NAME, "service.version": version("beedex")})
    provider = TracerProvider(ParentBasedTraceIdRatio(share), resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _describe(work: Work) -> "dict[str, AttributeValue]":
    """Return a span's attributes, by the names of OpenTelemetry's conventions where there are some."""
    attributes: dict[str, AttributeValue] = {**_name_method(work), "beedex.request_id": work.request_id}
    if work.call is not None:
        attributes["client.address"] = work.call.peer
    if work.reason:
        attributes["error.type"] = work.reason
    if work.fingerprint:
        attributes |= {"beedex.fingerprint": work.fingerprint, "beedex.snapshot": work.snapshot}
    if work.is_cached is not None:
        attributes["beedex.is_cached"] = work.is_cached
    return attributes


def _name_method(work: Work) -> "dict[str, AttributeValue]":
    verb, _, route = work.method.partition(" ")
    if route:
        # HTTP, as in "GET /v1/families".
        return {"http.request.method": verb, "http.route": route, "beedex.code": work.code.name}
    service, _, method = work.method.removeprefix("/").rpartition("/")
    return {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "rpc.grpc.status_code": work.code.value[0],
    }


def _to_ns(moment_s: float, offset_ns: int) -> int:
    """Return a moment of time.monotonic() in nanoseconds of Unix time."""
    return int(moment_s * NANOSECONDS) + offset_ns
