"""Metrics of what has ended, for Prometheus: calls, requests, and where their time went.

Labels have few values: methods are those that the server has, everything else being one; codes are gRPC's; reasons are
those that the .proto files list.
"""

from collections.abc import Iterable
from functools import cache

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

from beedex.server.calls.status import FAULT_REASON
from beedex.server.calls.work import Call, Stage, Work

__all__ = ["RequestMetrics"]

# A search of a small index takes some 80 us; a photo may wait for seconds.
STAGE_BUCKETS_S = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)

# From a vector query on a quiet server to a photo that waited in a full lane.
REQUEST_BUCKETS_S = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RequestMetrics:
    """Counts and times what has ended; a listener of `TrafficWatch`.

    Args:
        registry: one server's own.
        methods: whose faults are told to be 0 from the beginning. Otherwise the first one would be where a line
            begins, which Prometheus doesn't take for an increase.
    """

    def __init__(self, registry: CollectorRegistry, methods: Iterable[str] = ()) -> None:
        ending = ("method", "code", "reason")
        self._requests = Counter(
            "beedex_requests",
            "Requests that were answered or refused: unary ones, and the items of streams.",
            ending,
            registry=registry,
        )
        self._calls = Counter(
            "beedex_calls",
            "RPCs that have ended, streams as a whole and probes of health among them.",
            ending,
            registry=registry,
        )
        self._durations = Histogram(
            "beedex_request_duration_seconds",
            "From the arrival of a request, or an item of a stream, to its answer.",
            ("method", "code"),
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        stages = Histogram(
            "beedex_stage_duration_seconds",
            "How long requests stayed in a stage: queue, decode, inference or search.",
            ("stage",),
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        # Finding a line by its labels takes longer than counting, and there are few lines.
        self._find_meters = cache(self._label_meters)
        self._find_call_counter = cache(self._label_call_counter)
        self._stage_times = {stage: stages.labels(stage.value) for stage in Stage}
        for method in methods:
            for counter in (self._requests, self._calls):
                counter.labels(method, grpc.StatusCode.INTERNAL.name, FAULT_REASON)

    def end_work(self, work: Work) -> None:
        """Count a request or item."""
        count, time = self._find_meters(work.method, work.code, work.reason)
        count.inc()
        time.observe(work.duration_s)
        for span in work.stages:
            self._stage_times[span.stage].observe(span.ended_s - span.began_s)

    def end_call(self, call: Call) -> None:
        """Count an RPC."""
        self._find_call_counter(call.method, call.code, call.reason).inc()

    def _label_meters(self, method: str, code: grpc.StatusCode, reason: str) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, code.name, reason), self._durations.labels(method, code.name)

    def _label_call_counter(self, method: str, code: grpc.StatusCode, reason: str) -> Counter:
        return self._calls.labels(method, code.name, reason)
