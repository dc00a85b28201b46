"""Where approximate search wins: exact search, inverted lists and HNSW at the same recall, size by size.

    python tests/benchmarks/vector_search.py [--sizes 3000 ... 1000000] [--per-cluster 1000] [--hnsw-up-to 1000000]

The vectors are a mixture of Gaussians on the sphere: one center for every 1,000 vectors, drawn evenly, and around it
noise in all 128 directions, 0.7 long on average, so that two vectors of a cluster have a cosine of about 0.67 and those
of two clusters of about 0. Photos of a family differ in fewer directions, which makes their neighbors easier to find.
Queries come from the same mixture and are not stored.

Rates are those of one thread that asks one query at a time, as ratios to exact search in the same rounds; memory is
what a fresh process grows by when it loads the file. HNSW is bare FAISS, to say what was not taken; "ours over bare" is
the time of `IvfStore.search` by that of the FAISS index inside it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors import EXACT_UP_TO, IvfStore, SearchPlan, SearchSettings, build_store, load_store
from beedex.index.vectors import faissstore as filtering

DIMENSION = 128
NOISE = 0.7
QUERIES = 400
RECALL = 0.99
ROUNDS = 9
K = 10

SIZES = [3_000, 10_000, 30_000, 50_000, 100_000, 300_000, 1_000_000]

# Up to where an approximation is less than this many times as quick, one neighbor in a hundred is not given up for it.
WORTH_A_LOST_NEIGHBOR = 10

Vectors = NDArray[np.float32]
Search = Callable[[Vectors], NDArray[np.int64]]
untyped_faiss: Any = faiss


class Candidate(NamedTuple):
    """A way to search: its name and setting, what finds (Q, K) ids, what it took to build, and its file and loader."""

    name: str
    setting: str
    search: Search
    build_s: float
    path: Path
    plan: str


def draw_vectors(count: int, centers: Vectors, generator: np.random.Generator) -> Vectors:
    """Return (count, D) unit vectors around the centers."""
    vectors = generator.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors *= np.float32(NOISE / np.sqrt(DIMENSION))
    vectors += centers[generator.integers(0, len(centers), count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def measure_recall(search: Search, queries: Vectors, truth: NDArray[np.int64]) -> float:
    """Return the share of the true neighbors, (Q, K), that a search finds."""
    found = search(queries)
    return float(np.mean([np.isin(row, true).mean() for row, true in zip(found, truth, strict=True)]))


def time_queries(search: Search, queries: Vectors) -> float:
    """Return the seconds of a query, asked one by one."""
    started = time.perf_counter()
    for row in range(len(queries)):
        search(queries[row : row + 1])
    return (time.perf_counter() - started) / len(queries)


def build_ours(kind: str, ids: NDArray[np.int64], vectors: Vectors, folder: Path) -> tuple[Candidate, Any]:
    """Build one of our stores as `beedex index build` does."""
    started = time.perf_counter()
    store, plan = build_store(ids, vectors, SearchSettings.model_validate({"kind": kind, "recall": RECALL}))
    build_s = time.perf_counter() - started
    store.save(folder / kind)
    setting = f"{plan.efforts[K]} of {plan.lists} lists" if plan.kind == "ivf" else ""
    candidate = Candidate(
        kind, setting, lambda queries: store.search(queries, K).ids, build_s, folder / kind, plan.model_dump_json()
    )
    return candidate, store


def build_hnsw(
    ids: NDArray[np.int64], vectors: Vectors, folder: Path, queries: Vectors, truth: NDArray[np.int64]
) -> Candidate:
    """Build bare FAISS's graph by one thread, as equal bytes demand, and take the least effort that will do."""
    faiss.omp_set_num_threads(1)
    graph: Any = faiss.IndexHNSWFlat(DIMENSION, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    started = time.perf_counter()
    graph.add(vectors)
    build_s = time.perf_counter() - started
    faiss.write_index(graph, str(folder / "hnsw"))
    for effort in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024):
        parameters = untyped_faiss.SearchParametersHNSW(efSearch=effort)

        def search(asked: Vectors, parameters: Any = parameters) -> NDArray[np.int64]:
            found: NDArray[np.int64] = ids[graph.search(asked, K, params=parameters)[1]]
            return found

        if measure_recall(search, queries, truth) >= RECALL:
            break
    return Candidate("hnsw", f"M 16, ef {effort}", search, build_s, folder / "hnsw", "")


def measure_load(path: Path, plan: str) -> tuple[float, float, float]:
    """Return what loading takes in a fresh process: seconds, MiB that stay, MiB at the peak."""
    done = subprocess.run(
        [sys.executable, __file__, "--load", str(path), plan], check=True, capture_output=True, text=True
    )
    seconds, kept, peak = json.loads(done.stdout)
    return seconds, kept, peak


def load_and_print(path: Path, plan: str) -> None:
    """Load a file in this process and print what `measure_load` returns."""
    Path("/proc/self/clear_refs").write_text("5")
    before, started = _read_status("VmRSS"), time.perf_counter()
    store = load_store(path, SearchPlan.model_validate_json(plan)) if plan else faiss.read_index(str(path))
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, _read_status("VmRSS") - before, _read_status("VmHWM") - before]))
    del store


def _read_status(field: str) -> float:
    """Return a figure of this process's memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def compare_kinds(candidates: list[Candidate], queries: Vectors, truth: NDArray[np.int64]) -> dict[str, float]:
    """Print one line for each way, and return its rate by that of exact search."""
    # Exact search of a million vectors takes a thousand times as long as the others: fewer queries are enough.
    rows = {one.name: queries[: 20 if one.name == "exact" else 200] for one in candidates}
    times: dict[str, list[float]] = {one.name: [] for one in candidates}
    for _ in range(ROUNDS):
        for one in candidates:
            times[one.name].append(time_queries(one.search, rows[one.name]))
    ratios = {}
    for one in candidates:
        ratio = ratios[one.name] = float(np.median(np.array(times["exact"]) / np.array(times[one.name])))
        seconds, kept, peak = measure_load(one.path, one.plan)
        print(
            f"  {one.name:6} {ratio:8.1f} x exact  {1 / np.median(times[one.name]):9.0f} /s  "
            f"recall@10 {measure_recall(one.search, queries, truth):.4f}  build {one.build_s:6.1f} s  "
            f"load {seconds:5.2f} s  memory {kept:6.0f} MiB, peak {peak:6.0f} MiB  {one.setting}",
            flush=True,
        )
    return ratios


def measure_layer(store: IvfStore, queries: Vectors) -> None:
    """Print what our layer costs over the FAISS index inside the store, one query at a time and a hundred at once."""
    inner: Any = store._index
    parameters = untyped_faiss.SearchParametersIVF(nprobe=store.choose_effort(K))
    for size in (1, 100):
        batches = [queries[start : start + size] for start in range(0, len(queries), size)] * (1 if size == 1 else 5)
        times: list[tuple[float, float]] = []
        for _ in range(61):
            faiss.omp_set_num_threads(1 if size == 1 else filtering.BATCH_THREADS)
            started = time.perf_counter()
            for batch in batches:
                inner.search(batch, K, params=parameters)
            between = time.perf_counter()
            for batch in batches:
                store.search(batch, K)
            times.append((between - started, time.perf_counter() - between))
        bare, ours = np.array(times).T  # (rounds,) each
        low, middle, high = np.percentile(ours / bare, [25, 50, 75])
        print(
            f"  ours over bare, {size:3} a call: {middle:.3f} (quartiles {low:.3f} to {high:.3f}), "
            f"the quickest rounds {ours.min() / bare.min():.3f}",
            flush=True,
        )


def measure_filters(stores: dict[str, Any], queries: Vectors) -> None:
    """Print when gathering the allowed vectors beats passing through all with a filter."""
    generator = np.random.default_rng(2)
    kept = filtering.FEW_ALLOWED
    for share in (0.001, 0.01, 0.03, 0.1, 0.3):
        for name, store in stores.items():
            allowed = np.sort(generator.choice(store.ids, int(share * len(store)), replace=False))
            times: dict[int, list[float]] = {0: [], 1: []}
            for _ in range(5):
                for few, measured in times.items():
                    filtering.FEW_ALLOWED = few
                    measured.append(
                        time_queries(lambda asked: store.search(asked, K, allowed=allowed).ids, queries[:4])  # noqa: B023
                    )
            ratio = np.median(np.array(times[0]) / np.array(times[1]))
            print(f"  {name:5} {share:6.1%} allowed: gathering {ratio:6.2f} x the rate of filtering", flush=True)
    filtering.FEW_ALLOWED = kept


def compare_at(size: int, arguments: argparse.Namespace) -> float:
    """Print the lines of one size, and return the rate of inverted lists by that of exact search."""
    generator = np.random.default_rng(size)
    centers = generator.standard_normal((max(1, size // arguments.per_cluster), DIMENSION), dtype=np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors, queries = draw_vectors(size, centers, generator), draw_vectors(QUERIES, centers, generator)
    ids = np.sort(generator.integers(-(2**62), 2**62, size))
    print(f"{size} x {DIMENSION} in {len(centers)} clusters", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact, exact_store = build_ours("exact", ids, vectors, folder)
        truth = exact.search(queries)
        inverted, inverted_store = build_ours("ivf", ids, vectors, folder)
        candidates = [exact, inverted]
        if size <= arguments.hnsw_up_to:
            candidates.append(build_hnsw(ids, vectors, folder, queries, truth))
        ratios = compare_kinds(candidates, queries, truth)
        if size == max(arguments.sizes):
            mapped = SearchPlan.model_validate_json(inverted.plan).model_copy(update={"mapped": True})
            seconds, kept, _ = measure_load(inverted.path, mapped.model_dump_json())
            print(f"  mapped: load {seconds:.2f} s, memory {kept:.0f} MiB, pages of the file included")
            measure_layer(inverted_store, queries)
            measure_filters({"exact": exact_store, "ivf": inverted_store}, queries)
    return ratios["ivf"]


def main() -> None:
    """Print a table for each size and where lists win, and for the largest what the layer, filters and loading cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--per-cluster", type=int, default=1_000)
    parser.add_argument("--hnsw-up-to", type=int, default=1_000_000)
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        load_and_print(Path(arguments.load[0]), arguments.load[1])
        return
    ratios = {size: compare_at(size, arguments) for size in arguments.sizes}
    winning = [str(size) for size, ratio in ratios.items() if ratio >= WORTH_A_LOST_NEIGHBOR]
    print(
        f"inverted lists answer {WORTH_A_LOST_NEIGHBOR} times as often as exact search from "
        f"{winning[0] if winning else 'none of these sizes'} on; exact up to {EXACT_UP_TO} by default"
    )


if __name__ == "__main__":
    main()
