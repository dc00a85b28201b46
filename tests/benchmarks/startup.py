"""How long it takes from the start of the process to the first answer, beside TensorFlow, and how much memory.

    python tests/benchmarks/startup.py --index beedex-demo/index [--rounds 5]

`python -m beedex.server` is started until it says that it serves, which it does after checking every byte of index and
embedder and compiling the network; and Python until it has imported Keras with TensorFlow and loaded the embedder's
`model.keras`. Neither has inferred then. They take turns. The server is to take a quarter of the time.
"""

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from beedex.index.embedders import locate_embedder
from beedex.index.searcher import Searcher

LOAD = """
import sys
import keras
model = keras.saving.load_model(sys.argv[1], compile=False)
print("loaded", model.count_params(), "weights with", keras.backend.backend(), flush=True)
sys.stdin.read()
"""

MOST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a process.

    Attributes:
        seconds: until it was ready.
        rss_mb: its memory then.
        peak_mb: the most until then.
    """

    seconds: float
    rss_mb: float
    peak_mb: float


def start(command: list[str]) -> Start:
    """Run a command until it prints a line, and end it."""
    began_s = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        line = process.stdout.readline() if process.stdout is not None else ""
        seconds = time.perf_counter() - began_s
        if not line:
            raise RuntimeError(f"{' '.join(command[:3])} ended before it was ready; run it by hand to see why")
        status = Path("/proc", str(process.pid), "status").read_text()
        process.terminate()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    rss_mb, peak_mb = (int(lines[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return Start(seconds=seconds, rss_mb=rss_mb, peak_mb=peak_mb)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with Searcher.open(arguments.index) as searcher:
        model = locate_embedder(arguments.index, searcher.fingerprint) / "model.keras"
    serve = [sys.executable, "-m", "beedex.server", "--index", str(arguments.index), "--listen", "127.0.0.1:0"]
    ways = {
        "beedex, to the first answer": serve,
        "TensorFlow, to the loaded model": [sys.executable, "-c", LOAD, str(model)],
    }
    starts: dict[str, list[Start]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, command in ways.items():
            starts[name].append(start(command))
    ours, theirs = (statistics.median(one.seconds for one in each) for each in starts.values())
    for name, each in starts.items():
        seconds = ", ".join(f"{one.seconds:.2f}" for one in each)
        rss_mb, peak_mb = (statistics.median(getattr(one, what) for one in each) for what in ("rss_mb", "peak_mb"))
        print(f"{name:32} {seconds} s   RSS {rss_mb:.0f} MB, peak {peak_mb:.0f} MB")
    print(f"beedex takes {100 * ours / theirs:.1f} % of the time; wanted: at most {100 * MOST_SHARE:.0f}")


if __name__ == "__main__":
    main()
