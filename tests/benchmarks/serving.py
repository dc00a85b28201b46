"""How much of the machine the server turns into answers, what it does when asked for more, and what a vector costs.

    python tests/benchmarks/serving.py --index beedex-demo/index [--rounds 5] [--only photos,overload,vectors]

A real server, its callers, a bare loop and an empty echo, each in a process of its own, take turns on the same cores:
what they print are medians over the rounds, and ratios of one run. The callers' share of the processors is counted
against the server, as nothing else is there to carry it.

- photos: drawn bees, 1152 x 868 pixels, each call's unlike all others, so that the cache answers none. The bare loop
  decodes and infers the same photos with OpenVINO on as many threads as serve it best, without a server. Identify at
  saturation is to reach 95 % of it.
- overload: Identify in an open loop, twice as many calls as can be answered, each with a deadline. Answers within it
  are to stay at 95 % of what saturation reached, the median refusal to come within 10 ms, and 99 of 100 calls that were
  let in to be answered within the deadline.
- vectors: Identify and SearchNeighbors of vectors against an empty grpc.aio server that answers with as many bytes.
  They are to reach half of its rate.

The index's embedder is what is run, a bundle of InceptionV3 for figures that mean something. Takes about two minutes.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
from PIL import Image
from served import ServerProcess  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it otherwise
from serving_figures import Side, compare, show_percentiles  # type: ignore[import-not-found]
from serving_load import IDENTIFY, SEARCH, Outcome, Task, count_codes, serve_tasks  # type: ignore[import-not-found]
from serving_rivals import BareTask, serve_bare, serve_echo  # type: ignore[import-not-found]

from beedex.index.embedders import locate_embedder
from beedex.index.searcher import Searcher
from beedex.training.drawing import FAMILIES, draw_photo, meet_individual
from beedex.v1 import search_pb2, types_pb2

PHOTO_SIZE = (1152, 868)
PHOTO_QUALITY = 92
PHOTOS = 12
CALLERS_OF_PHOTOS = 16
CALLERS_OF_VECTORS = 16
SECONDS_OF_PHOTOS = 4.0
SECONDS_OF_OVERLOAD = 12.0
SECONDS_OF_VECTORS = 2.0
OVERLOAD = 2.0

# Says how many seconds of the processors a process took so far.
CpuCounter = Callable[[], float]


def draw_photos() -> tuple[bytes, ...]:
    """Draw bees as files of a megapixel."""
    photos = []
    for number in range(PHOTOS):
        rng = np.random.default_rng(number)
        drawn = Image.open(BytesIO(draw_photo(meet_individual(tuple(FAMILIES)[number % len(FAMILIES)], rng), rng)))
        file = BytesIO()
        drawn.convert("RGB").resize(PHOTO_SIZE, Image.Resampling.LANCZOS).save(file, "JPEG", quality=PHOTO_QUALITY)
        photos.append(file.getvalue())
    return tuple(photos)


@contextmanager
def start(target: Any, *arguments: Any) -> Iterator[tuple[Connection, CpuCounter]]:
    """Run *target* in a process of its own, with a pipe."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    try:
        yield here, partial(count_cpu_s, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.join()


class Stage:
    """The server, those whom it is compared with, and the callers of them all."""

    def __init__(self, arguments: argparse.Namespace, stack: ExitStack) -> None:
        self.rounds: int = arguments.rounds
        self.deadline_s: float = arguments.deadline
        self.photos = draw_photos()
        with Searcher.open(arguments.index) as searcher:
            self._network = locate_embedder(arguments.index, searcher.fingerprint) / "model.xml"
            vector = np.random.default_rng(0).standard_normal(searcher.dimension).astype("<f4")
        query = types_pb2.Query(vector=types_pb2.Vector(values=vector.tobytes(), dimension=len(vector)))
        self.query: bytes = search_pb2.IdentifyRequest(query=query).SerializeToString()
        # Each refusal would be a line among those that are printed here.
        quiet = ("--set", "watch.log_level=warning")
        server = stack.enter_context(ServerProcess(arguments.index, *quiet, *arguments.option))
        self.address: str = server.address
        self.server: CpuCounter = lambda: server.cpu_s
        self._callers, _ = stack.enter_context(start(serve_tasks))
        self._stack = stack

    def call(self, side: Side, count_cpu_s: CpuCounter, task: Task) -> Outcome:
        """Let the callers do *task*, and note what it took."""
        began_s, began = count_cpu_s(), time.perf_counter()
        self._callers.send(task)
        outcome: Outcome = self._callers.recv()
        side.rates.append(outcome.rate)
        side.own_cpus.append((count_cpu_s() - began_s) / (time.perf_counter() - began))
        side.callers_cpus.append(outcome.cpu_s / outcome.seconds)
        side.latencies_s += outcome.latencies_s.get("OK", [])
        return outcome

    def measure_photos(self) -> float:
        """Print what Identify reaches of the bare loop, and return its answers a second."""
        bare, streams, workers = self._open_bare()
        loop, served, alone = Side(), Side(), Side()
        saturation = Task(
            address=self.address,
            method=IDENTIFY,
            photos=self.photos,
            callers=CALLERS_OF_PHOTOS,
            warm_s=1.5,
            seconds=SECONDS_OF_PHOTOS,
        )
        for _ in range(self.rounds):
            rate, cpu_s = ask(bare, BareTask(workers=workers, warm_s=1.0, seconds=SECONDS_OF_PHOTOS))
            loop.rates.append(rate)
            loop.own_cpus.append(cpu_s / SECONDS_OF_PHOTOS)
            self.call(served, self.server, saturation)
        self.call(alone, self.server, Task(address=self.address, method=IDENTIFY, photos=self.photos, callers=1))
        mean_kb = statistics.mean(map(len, self.photos)) / 1000
        print(f"\nphotos of {PHOTO_SIZE[0]} x {PHOTO_SIZE[1]}, {mean_kb:.0f} kB, {streams} streams")
        print(loop.show(f"bare loop, {workers} threads"))
        print(served.show(f"Identify, {CALLERS_OF_PHOTOS} callers"))
        print(alone.show("Identify, 1 caller"))
        print(f"Identify reaches {compare(served, loop)} of the bare loop; wanted: 95")
        return float(statistics.median(served.rates))

    def _open_bare(self) -> tuple[Connection, int, int]:
        """Return the bare loop, its streams, and the number of threads that serve it best."""
        bare, _ = self._stack.enter_context(start(serve_bare, self._network, self.photos))
        streams: int = bare.recv()
        rates = {
            workers: statistics.median(ask(bare, BareTask(workers=workers))[0] for _ in range(3))
            for workers in range(streams, streams + 3)
        }
        return bare, streams, max(rates, key=lambda workers: rates[workers])

    def measure_overload(self, peak: float) -> None:
        """Print what becomes of twice as many calls as can be answered."""
        side = Side()
        task = Task(
            address=self.address,
            method=IDENTIFY,
            photos=self.photos,
            rate=OVERLOAD * peak,
            deadline_s=self.deadline_s,
            warm_s=4.0,
            seconds=SECONDS_OF_OVERLOAD,
        )
        outcome = self.call(side, self.server, task)
        refused = outcome.latencies_s.get("RESOURCE_EXHAUSTED", [])
        let_in = [
            latency for code, each in outcome.latencies_s.items() if code != "RESOURCE_EXHAUSTED" for latency in each
        ]
        in_time = sum(latency <= self.deadline_s for latency in outcome.latencies_s.get("OK", []))
        goodput = in_time / outcome.seconds
        print(f"\n{task.rate:.1f} calls/s with a deadline of {self.deadline_s:g} s: {dict(count_codes(outcome))}")
        print(side.show("Identify"))
        print(f"in time: {goodput:.1f} /s, {100 * goodput / peak:.1f} % of what saturation reached; wanted: 95")
        print(f"refused, ms: {show_percentiles(refused) if refused else 'none'}; wanted: p50 below 10")
        late_s = float(np.percentile(let_in, 99))
        print(f"let in, 99 of 100 answered within {late_s:.2f} s; wanted: {self.deadline_s:g}")

    def measure_vectors(self) -> None:
        """Print what vector queries reach of an empty echo."""
        sizes = {method: len(ask_once(self.address, method, self.query)) for method in (IDENTIFY, SEARCH)}
        pipe, echo = self._stack.enter_context(start(serve_echo, sizes))
        rival = f"127.0.0.1:{pipe.recv()}"
        print(f"\nvectors: a request of {len(self.query)} bytes, {CALLERS_OF_VECTORS} callers")
        for method, size in sizes.items():
            ours, theirs, alone = Side(), Side(), Side()
            for _ in range(self.rounds):
                for side, counter, address in ((theirs, echo, rival), (ours, self.server, self.address)):
                    self.call(side, counter, self._ask_vectors(address, method, CALLERS_OF_VECTORS))
            self.call(alone, self.server, self._ask_vectors(self.address, method, 1))
            name = method.rpartition("/")[2]
            print(theirs.show(f"echo of {size} bytes"))
            print(ours.show(name))
            print(alone.show(f"{name}, 1 caller"))
            print(f"{name} reaches {compare(ours, theirs)} of the echo; wanted: 50")

    def _ask_vectors(self, address: str, method: str, callers: int) -> Task:
        return Task(address=address, method=method, query=self.query, callers=callers, seconds=SECONDS_OF_VECTORS)


def ask(pipe: Connection, task: object) -> Any:
    """Send a task and return what comes back."""
    pipe.send(task)
    return pipe.recv()


def ask_once(address: str, method: str, query: bytes) -> bytes:
    """Return the reply's bytes."""
    with grpc.insecure_channel(address) as channel:
        reply: bytes = channel.unary_unary(method)(query, timeout=10)  # type: ignore[arg-type]  # the stubs know messages only
        return reply


def count_cpu_s(process: psutil.Process) -> float:
    """Return how many seconds of the processors a process took so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds, of calls in overload")
    parser.add_argument("--only", default="photos,overload,vectors", help="some of these, with commas")
    parser.add_argument("--option", action="append", default=[], help="of the server, such as --option=--threads=1")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    with ExitStack() as stack:
        stage = Stage(arguments, stack)
        peak = stage.measure_photos() if {"photos", "overload"} & set(parts) else 0.0
        if "overload" in parts:
            stage.measure_overload(peak)
        if "vectors" in parts:
            stage.measure_vectors()


if __name__ == "__main__":
    main()
