"""Which threads serve photos best: streams of inference and whether they are pinned, decoders, and those of libraries.

    python tests/benchmarks/serving_threads.py --index beedex-demo/index [--rounds 3] [--only bare,server]

- bare: OpenVINO alone decodes and infers drawn bees of a megapixel. Streams, pinning and the feeding threads vary.
- server: Identify at saturation, by servers that differ in their decoding threads, in OpenVINO's threads, or in the
  threads that OpenBLAS and OpenMP may use; FAISS searches for one query on one thread, whatever these say.

All of a kind take turns, a second or two each, so that a busy machine slows them alike; printed are medians and their
ratios to what beedex does. On two cores a difference below 2 % is none.
"""

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import openvino as ov
from openvino import properties
from served import ServerProcess  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it otherwise
from serving import ask, draw_photos, start  # type: ignore[import-not-found]
from serving_load import IDENTIFY, Task, serve_tasks  # type: ignore[import-not-found]

from beedex.index.embedders import locate_embedder
from beedex.index.preprocessing import prepare
from beedex.index.searcher import Searcher

SECONDS = 2.0
WARM_S = 1.0
CALLERS = 16

# What beedex does comes first: the others are compared with it. (streams, is pinned, threads that feed them)
BARE_WAYS: tuple[tuple[int | None, bool, int], ...] = (
    (None, True, 4),
    (None, True, 3),
    (None, True, 2),
    (None, False, 4),
    (None, False, 3),
    (1, True, 3),
    (1, False, 3),
    (4, False, 6),
)

LIBRARIES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

# (options of the server, its environment)
SERVER_WAYS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "as beedex does": ((), {}),
    "1 decoding thread": (("--set", "lane.decode_threads=1"), {}),
    "2 decoding threads": (("--set", "lane.decode_threads=2"), {}),
    "3 decoding threads": (("--set", "lane.decode_threads=3"), {}),
    "4 decoding threads": (("--set", "lane.decode_threads=4"), {}),
    "1 thread of inference": (("--threads", "1"), {}),
    "1 thread of OpenBLAS and OpenMP": ((), dict.fromkeys(LIBRARIES, "1")),
}


def compile_network(network: Path, streams: int | None, *, is_pinned: bool) -> ov.CompiledModel:
    """Compile as `InferencePool` does, but for the streams and the pinning."""
    config = {
        properties.hint.performance_mode: properties.hint.PerformanceMode.THROUGHPUT,
        properties.hint.inference_precision: ov.Type.f32,
        properties.hint.enable_cpu_pinning: is_pinned,
    }
    if streams is not None:
        config |= {properties.num_streams: streams, properties.inference_num_threads: max(streams, os.cpu_count() or 1)}
    return ov.Core().compile_model(network, "CPU", config)


def run_bare(compiled: ov.CompiledModel, photos: tuple[bytes, ...], feeders: int) -> float:
    """Return the photos a second of so many threads that decode and infer."""
    numbers, lock, end_s = count(), threading.Lock(), time.perf_counter() + SECONDS

    def work() -> int:
        request, done = compiled.create_infer_request(), 0
        while time.perf_counter() < end_s:
            with lock:
                number = next(numbers)
            request.infer({0: prepare(photos[number % len(photos)])[None]})
            done += 1
        return done

    with ThreadPoolExecutor(feeders) as pool:
        began_s = time.perf_counter()
        done = sum(future.result() for future in [pool.submit(work) for _ in range(feeders)])
        return done / (time.perf_counter() - began_s)


def take_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> None:
    """Print the median rate of each way, and its ratio to the first."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way())
    first = statistics.median(next(iter(rates.values())))
    for name, each in rates.items():
        rounded = ", ".join(f"{rate:.1f}" for rate in each)
        print(
            f"{name:44} {statistics.median(each):6.1f} photos/s  {statistics.median(each) / first:5.3f}   ({rounded})"
        )


def compare_bare(network: Path, photos: tuple[bytes, ...], rounds: int) -> None:
    """Print what OpenVINO alone makes of streams, pinning and feeders."""
    compiled = {
        (streams, pinned): compile_network(network, streams, is_pinned=pinned) for streams, pinned, _ in BARE_WAYS
    }
    ways: dict[str, Callable[[], float]] = {}
    for streams, pinned, feeders in BARE_WAYS:
        network_of_way = compiled[streams, pinned]
        number = network_of_way.get_property(properties.num_streams)
        name = f"{number} streams, {'pinned' if pinned else 'free'}, {feeders} feeding threads"
        ways[name] = lambda network=network_of_way, feeders=feeders: run_bare(network, photos, feeders)  # type: ignore[misc]
    take_turns(ways, rounds)


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Let processes that are started meanwhile have these variables."""
    former = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def compare_servers(index: Path, photos: tuple[bytes, ...], rounds: int) -> None:
    """Print what Identify reaches with other threads."""
    with ExitStack() as stack:
        callers, _ = stack.enter_context(start(serve_tasks))
        ways: dict[str, Callable[[], float]] = {}
        for name, (options, variables) in SERVER_WAYS.items():
            with environment(variables):
                server = stack.enter_context(ServerProcess(index, "--set", "watch.log_level=warning", *options))
            task = Task(
                address=server.address,
                method=IDENTIFY,
                photos=photos,
                callers=CALLERS,
                warm_s=WARM_S,
                seconds=SECONDS,
            )
            # What is loaded with the first photo isn't to be counted against one round of one server.
            ask(callers, task)
            ways[name] = lambda task=task: ask(callers, task).rate  # type: ignore[misc]
        take_turns(ways, rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="bare,server", help="one of these")
    arguments = parser.parse_args()
    photos = draw_photos()
    with Searcher.open(arguments.index) as searcher:
        network = locate_embedder(arguments.index, searcher.fingerprint) / "model.xml"
    if "bare" in arguments.only:
        compare_bare(network, photos, arguments.rounds)
    if "server" in arguments.only:
        compare_servers(arguments.index, photos, arguments.rounds)


if __name__ == "__main__":
    main()
