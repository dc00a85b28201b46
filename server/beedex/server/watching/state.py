"""Metrics of the server's state, read when they are asked for: the lane, the cache, what is served, and the process."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from beedex.server.engine import Engine, EngineSlot
from beedex.server.watching.readiness import Phase, Readiness

__all__ = ["StateCollector", "register_state"]

# Linux only, as is most of what ProcessCollector tells. Python itself knows nothing of OpenVINO's threads and gRPC's.
OWN_THREADS = Path("/proc/self/task")


def register_state(
    registry: CollectorRegistry, slot: EngineSlot, readiness: Readiness, open_streams: Mapping[str, int]
) -> None:
    """Let *registry* tell the state of a server and of its process."""
    registry.register(StateCollector(slot, readiness, open_streams))
    ProcessCollector(registry=registry)


class StateCollector(Collector):
    """Reads the state of one server.

    What an engine has is missing while there is none. The cache's counters begin anew with another embedder, which
    Prometheus takes for what it is.

    Args:
        slot: holds what is served.
        readiness: tells whether it is.
        open_streams: how many there are by method.
    """

    def __init__(self, slot: EngineSlot, readiness: Readiness, open_streams: Mapping[str, int]) -> None:
        self._slot, self._readiness, self._open_streams = slot, readiness, open_streams
        versions = {"version": version("beedex"), "python": platform.python_version()}
        self._build = _inform("beedex_build", "The running software.", **versions)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are checked when they are collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield self._build
        yield from self._tell_readiness()
        yield from self._tell_process()
        # One engine, so that no scrape mixes two.
        engine = self._slot.engine
        if engine is not None:
            yield from _tell_lane(engine)
            yield from _tell_cache(engine)
            yield from _tell_index(engine, self._slot.served_since_s)

    def _tell_readiness(self) -> Iterator[Metric]:
        phases = GaugeMetricFamily("beedex_phase", "1 for the phase that the server is in.", labels=("phase",))
        for phase in Phase:
            phases.add_metric((phase.value,), float(phase is self._readiness.phase))
        yield phases
        yield _gauge(
            "beedex_index_problem",
            "Whether the index on the disk can't be served as it is; /readyz says why.",
            bool(self._readiness.problem),
        )

    def _tell_process(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily("beedex_open_streams", "Streams that are open.", labels=("method",))
        for method, count in sorted(self._open_streams.items()):
            streams.add_metric((method,), count)
        yield streams
        if OWN_THREADS.is_dir():
            threads = sum(1 for _ in OWN_THREADS.iterdir())
            yield _gauge(
                "beedex_process_threads", "Threads of the process, those of native libraries among them.", threads
            )


def _tell_lane(engine: Engine) -> Iterator[Metric]:
    lane = engine.lane
    yield _gauge("beedex_lane_depth", "Photos in the embedding lane, those being worked on included.", lane.depth)
    yield _gauge("beedex_lane_capacity", "Photos that the embedding lane takes.", lane.capacity)
    yield _gauge(
        "beedex_lane_expected_wait_seconds", "How long a photo would wait if it came now.", lane.expected_wait_s
    )


def _tell_cache(engine: Engine) -> Iterator[Metric]:
    cache = engine.lane.cache
    if cache is None:
        return
    name = "beedex_embedding_cache"
    yield CounterMetricFamily(f"{name}_hits", "Photos that were answered from the embedding cache.", cache.hits)
    yield CounterMetricFamily(f"{name}_misses", "Photos that were not in the embedding cache.", cache.misses)
    yield _gauge(f"{name}_bytes", "What the embedding cache takes.", cache.size_bytes)
    yield _gauge(f"{name}_photos", "Photos in the embedding cache.", len(cache))


def _tell_index(engine: Engine, served_since_s: float) -> Iterator[Metric]:
    manifest = engine.searcher.snapshot.manifest
    yield _inform(
        "beedex_index",
        "What is served: the embedder's fingerprint and the snapshot.",
        fingerprint=engine.fingerprint,
        snapshot=str(engine.snapshot_version),
        index_kind=manifest.index_kind,
    )
    yield _gauge("beedex_snapshot_version", "The served snapshot's number.", engine.snapshot_version)
    yield _gauge(
        "beedex_snapshot_built_timestamp_seconds",
        "When the served snapshot was built, in Unix time.",
        datetime.fromisoformat(manifest.created_at).timestamp(),
    )
    yield _gauge(
        "beedex_snapshot_served_timestamp_seconds",
        "Since when the server serves its snapshot, in Unix time.",
        served_since_s,
    )
    yield _gauge("beedex_index_entries", "Photos that are searched.", len(engine.searcher.view))
    yield _gauge("beedex_index_families", "Families that they have.", len(engine.searcher.families()))


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, float(value))


def _inform(name: str, documentation: str, **labels: str) -> InfoMetricFamily:
    return InfoMetricFamily(name, documentation, labels)
