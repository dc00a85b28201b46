"""What watching costs a request, in times of a bare grpc.aio echo of the size of a vector query.

    python tests/benchmarks/watching.py [--calls 4000] [--at-once 16] [--rounds 5]

Every variant is the same echo in this process's event loop, behind more of what watches a server; client and server
share the loop, so that the figure is of both. The rounds take turns, and each variant's fastest round counts: whatever
else the machine does can only make one slower. The works have one stage, as a vector query has. Traces go to an
exporter that throws them away.
"""

import argparse
import asyncio
import io
import time
from collections.abc import Callable, Sequence

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from beedex.server.calls.traffic import Listener, TrafficWatch
from beedex.server.calls.work import Stage, note_stage
from beedex.server.config import LogFormat, LogLevel, WatchConfig
from beedex.server.watching.logs import RequestLog, configure_logs
from beedex.server.watching.metrics import RequestMetrics
from beedex.server.watching.traces import Traces

METHOD = "/benchmark/Echo"

# 128 float32 and the fields around them.
REQUEST = bytes(540)


class Nowhere(SpanExporter):
    """Throws spans away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do nothing."""
        del spans
        return SpanExportResult.SUCCESS


class Echo(grpc.GenericRpcHandler):
    """One unary method that answers what it is asked."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Return the method's handler, whatever the name."""
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(self._answer, request_deserializer=bytes)

    async def _answer(self, request: bytes, context: object) -> bytes:
        del context
        now = time.monotonic()
        note_stage(Stage.SEARCH, now, now)
        return request


def watch_with(*listeners: Listener) -> list[grpc.aio.ServerInterceptor]:
    return [TrafficWatch(listeners=listeners)]


def log_everything() -> RequestLog:
    configure_logs(WatchConfig(log_format=LogFormat.JSON, log_level=LogLevel.DEBUG), io.StringIO())
    return RequestLog()


def log_failures() -> RequestLog:
    configure_logs(WatchConfig(), io.StringIO())
    return RequestLog()


VARIANTS: dict[str, Callable[[], list[grpc.aio.ServerInterceptor]]] = {
    "a bare echo": list,
    "request ids": watch_with,
    "and metrics": lambda: watch_with(RequestMetrics(CollectorRegistry())),
    "and the log of failures (default)": lambda: watch_with(RequestMetrics(CollectorRegistry()), log_failures()),
    "and a line for each request": lambda: watch_with(RequestMetrics(CollectorRegistry()), log_everything()),
    "and traces": lambda: watch_with(Traces(Nowhere()), RequestMetrics(CollectorRegistry()), log_everything()),
}


async def time_calls(interceptors: list[grpc.aio.ServerInterceptor], calls: int, at_once: int) -> float:
    """Return the seconds that a call takes of the loop."""
    server = grpc.aio.server(interceptors=interceptors)
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)

        async def ask_again(count: int) -> None:
            for _ in range(count):
                await ask(REQUEST)

        await ask_again(200)
        began_s = time.perf_counter()
        await asyncio.gather(*(ask_again(calls // at_once) for _ in range(at_once)))
        took_s = time.perf_counter() - began_s
    await server.stop(None)
    return took_s / (calls // at_once * at_once)


def main() -> None:
    """Print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000, help="of one round")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name, make in VARIANTS.items():
            times[name].append(asyncio.run(time_calls(make(), arguments.calls, arguments.at_once)))
    bare = min(times["a bare echo"])
    for name, taken in times.items():
        print(f"{name:36} {min(taken) / bare:5.2f} times, {1e6 * (min(taken) - bare):6.1f} us more")


if __name__ == "__main__":
    main()
