"""Our triplet losses against pytorch-metric-learning's, on the same CPU, turn by turn; and their memory.

    python -m venv build/torch && build/torch/bin/pip install -r tests/benchmarks/torch-requirements.txt
    python tests/benchmarks/losses.py --torch build/torch/bin/python [--sizes 32 128 512 1024] [--each 4] [--rounds 9]

Times are medians, forward alone and forward with the gradient by the embeddings. `function` is a call of a
`tf.function` from Python, `jit` of one with `jit_compile=True`; `step` is what the loss adds to a training step that is
a `tf.function` anyway: eight in one call, one after another, and an eighth of the time. A ratio says how many times as
fast as PML ours is. Both sides have the same rows, labels and number of threads. On a machine that does other work,
threads that wait for one another make PML's medians many times as long as its best: take `--threads 1` there, or
`--quantile 0.1`, or both. Ours has a step for each positive of an anchor: small batches of few labels (`--sizes 32
--each 16`) are where it gains least.

PML's equivalents: `TripletMarginLoss(triplets_per_anchor="all")` over `AvgNonZeroReducer` for batch-all, after
`BatchHardMiner` for batch-hard, and after `TripletMarginMiner("semihard")` for semi-hard, which isn't the same: it
takes every negative with 0 < d(a, n) - d(a, p) <= margin, ours the nearest one that is farther, or else the farthest.

Memory is what a fresh process gains at the peak of its first call with the gradient; `cubic` is batch-all as B x B x B
tensors that TensorFlow differentiates.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

MININGS = ("batch-all", "semi-hard", "batch-hard")
MODES = ("function", "jit", "step")
DIMENSION = 128
MARGIN = 0.2
STEPS = 8
# A turn calls until this has passed; a case that takes longer than the other is called in three turns only.
TURN_S = 0.02
LONG_S = 0.5
# PML keeps three int64 indices for each triplet, and their distances: beyond this, several GB.
MOST_TRIPLETS = 60_000_000
LARGEST_CUBIC = 512

Runs = dict[str, Callable[[], object]]


def draw_batch(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (B,), so many of each, and unit vectors (B, D)."""
    rows = np.random.default_rng(0).standard_normal((case["size"], DIMENSION)).astype(np.float32)
    return np.arange(case["size"]) // case["each"], rows / np.linalg.norm(rows, axis=1, keepdims=True)


def prepare_ours(case: dict[str, Any]) -> Runs:
    """What is timed, by name."""
    import tensorflow as tf  # noqa: PLC0415 -- only one of the two environments has it

    from beedex.training.losses import triplet_loss  # noqa: PLC0415

    if tf.config.threading.get_intra_op_parallelism_threads() != case["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(case["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(case["threads"])
    labels, rows = map(tf.constant, draw_batch(case))
    compute = compute_cubic if case["mining"] == "cubic" else triplet_loss
    settings = {} if case["mining"] == "cubic" else {"mining": case["mining"]}

    def forward(labels: Any, rows: Any) -> Any:
        return compute(labels, rows, margin=MARGIN, soft=case["soft"], **settings)

    def backward(labels: Any, rows: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss = forward(labels, rows)
        return tape.gradient(loss, rows)

    def repeat(run: Callable[..., Any]) -> Callable[..., Any]:
        def steps(labels: Any, rows: Any) -> Any:
            # The next rows depend on the last result, so that no two run at once and none is left out.
            for _ in tf.range(STEPS):
                rows += 1e-30 * run(labels, rows)
            return rows

        return steps

    runs: Runs = {}
    for name, run in (("forward", forward), ("backward", backward)):
        functions = (tf.function(run), tf.function(run, jit_compile=True), tf.function(repeat(run)))
        for mode, function in zip(MODES, functions, strict=True):
            runs[f"{name} {mode}"] = partial(function, labels, rows)
    return runs


def compute_cubic(labels: Any, rows: Any, *, margin: float, soft: bool) -> Any:
    """Batch-all with a tensor entry for each of B x B x B triplets."""
    import tensorflow as tf  # noqa: PLC0415 -- see above

    from beedex.training.losses import pairwise_distances  # noqa: PLC0415

    distances = pairwise_distances(rows, "l2")
    same = labels[:, tf.newaxis] == labels
    positive = same & ~tf.eye(tf.size(labels), dtype=tf.bool)
    triplets = positive[:, :, tf.newaxis] & ~same[:, tf.newaxis, :]
    excess = distances[:, :, tf.newaxis] - distances[:, tf.newaxis, :] + margin
    terms = tf.where(triplets, tf.math.softplus(excess) if soft else tf.nn.relu(excess), 0.0)
    return tf.reduce_sum(terms) / tf.math.count_nonzero(terms, dtype=tf.float32)


def prepare_torch(case: dict[str, Any]) -> Runs:
    """The same for PML."""
    import torch  # noqa: PLC0415  # pyright: ignore[reportMissingImports] -- in the other environment
    from pytorch_metric_learning import (  # noqa: PLC0415  # pyright: ignore[reportMissingImports] -- so is this
        distances,
        losses,
        miners,
        reducers,
    )

    torch.set_num_threads(case["threads"])
    labels, rows = map(torch.from_numpy, draw_batch(case))
    rows.requires_grad_()
    distance = distances.LpDistance(normalize_embeddings=False)
    miner = {
        "batch-all": lambda *_: None,
        "batch-hard": miners.BatchHardMiner(distance=distance),
        "semi-hard": miners.TripletMarginMiner(MARGIN, "semihard", distance=distance),
    }[case["mining"]]
    loss = losses.TripletMarginLoss(
        MARGIN,
        smooth_loss=case["soft"],
        triplets_per_anchor="all",
        distance=distance,
        reducer=reducers.AvgNonZeroReducer(),
    )

    def forward() -> Any:
        return loss(rows, labels, miner(rows, labels))

    def backward() -> Any:
        rows.grad = None
        forward().backward()
        return rows.grad

    return {"forward torch": forward, "backward torch": backward}


def serve(prepare: Callable[[dict[str, Any]], Runs]) -> None:
    """Answer on stdout, a line for a line: to a case its names, to a name the seconds of its calls."""
    runs: Runs = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: list[Any] = []
        if isinstance(request, dict):
            runs = prepare(request)
            for run in runs.values():
                run()
            answer += runs
        else:
            while sum(answer) < TURN_S:
                started = time.perf_counter()
                runs[request]()
                answer.append(time.perf_counter() - started)
        print(json.dumps(answer), flush=True)


def measure_memory(runs: Runs) -> None:
    """Print by how many MiB the process grows at its peak in its first call with the gradient."""
    run = runs.get("backward torch") or runs["backward function"]

    def read(field: str) -> int:
        return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(field))

    before = read("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    run()
    print((read("VmHWM") - before) / 1024)


class Side:
    """One of the two, in a process of its own."""

    def __init__(self, python: Path, role: str) -> None:
        """Start it."""
        command = [str(python), __file__, "--role", role]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request: object) -> list[Any]:
        """Return its answer to a request of `serve`."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("Both are pipes")
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer: list[Any] = json.loads(self._process.stdout.readline())
        return answer


def time_case(case: dict[str, Any], ours: Side, torch: Side, *, rounds: int, quantile: float) -> dict[str, float]:
    """Return milliseconds by name; PML is left out where it doesn't fit."""
    sides = dict.fromkeys(ours.ask(case), ours)
    triplets = case["size"] * (case["each"] - 1) * (case["size"] - case["each"])
    if case["mining"] == "batch-hard" or triplets <= MOST_TRIPLETS:
        sides |= dict.fromkeys(torch.ask(case), torch)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, side in sides.items():
            if turn < 3 or np.median(seconds[name]) < LONG_S:
                seconds[name] += side.ask(name)
    return {
        name: 1000 * float(np.quantile(taken, quantile)) / (STEPS if name.endswith("step") else 1)
        for name, taken in seconds.items()
    }


def list_cases(arguments: argparse.Namespace, minings: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every mining, hard and soft, at every size."""
    for size, mining, soft in itertools.product(arguments.sizes, minings, (False, True)):
        yield {"size": size, "mining": mining, "soft": soft, "each": arguments.each, "threads": arguments.threads}


def compare_times(arguments: argparse.Namespace) -> None:
    """Print milliseconds and ratios."""
    ours, torch = Side(Path(sys.executable), "ours"), Side(arguments.torch, "torch")
    heads = [f"{name[:4]} {mode}" for name in ("forward", "backward") for mode in ("PML", *MODES)]
    print(f"{'B':>5} {'mining':10} margin " + " ".join(f"{head:>15}" for head in heads))
    for case in list_cases(arguments, MININGS):
        taken = time_case(case, ours, torch, rounds=arguments.rounds, quantile=arguments.quantile)
        cells = []
        for name in ("forward", "backward"):
            theirs = taken.get(f"{name} torch")
            cells.append(f"{theirs:12.2f} ms" if theirs else f"{'does not fit':>15}")
            for mode in MODES:
                own = taken[f"{name} {mode}"]
                cells.append(f"{own:7.2f} {theirs / own:6.1f}x" if theirs else f"{own:7.2f}        ")
        margin = "soft" if case["soft"] else "hard"
        print(f"{case['size']:5} {case['mining']:10} {margin:6} " + " ".join(cells), flush=True)


def compare_memory(arguments: argparse.Namespace) -> None:
    """Print MiB, each from a fresh process."""
    print("\nMiB at the peak of a call with the gradient")
    for case in list_cases(arguments, MININGS):
        cells = [("ours", sys.executable, "ours", case)]
        if case["mining"] == "batch-all" and case["size"] <= LARGEST_CUBIC:
            cells.append(("cubic", sys.executable, "ours", {**case, "mining": "cubic"}))
        cells.append(("PML", arguments.torch, "torch", case))
        line = f"{case['size']:5} {case['mining']:10} {'soft' if case['soft'] else 'hard':6}"
        for title, python, role, asked in cells:
            command = [str(python), __file__, "--role", role, "--memory", json.dumps(asked)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            line += f" {title} {float(done.stdout):8.1f}"
        print(line, flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", type=Path, help="the Python of the other environment")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128, 512, 1024])
    parser.add_argument("--each", type=int, default=4, help="rows of a label")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quantile", type=float, default=0.5, help="of the times; 0.5 is the median")
    parser.add_argument("--no-memory", action="store_true", help="print the first table only")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--role", choices=("ours", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    prepare = prepare_torch if arguments.role == "torch" else prepare_ours
    if arguments.memory:
        measure_memory(prepare(arguments.memory))
    elif arguments.role:
        serve(prepare)
    elif arguments.torch:
        compare_times(arguments)
        if not arguments.no_memory:
            compare_memory(arguments)
    else:
        parser.error("--torch is needed; see the top of this file for how to make that environment")


if __name__ == "__main__":
    main()
