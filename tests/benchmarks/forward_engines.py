"""What OpenVINO saves while features are computed on a CPU: its photos per second against TensorFlow's.

    python tests/benchmarks/forward_engines.py [--photos 64] [--weights bundled]

Both run the network that `beedex train` computes features with, on decoded photos of noise. They take turns, so that a
busy machine slows them alike.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from beedex.training.backbone.forward import TENSORFLOW_BATCH, Engine, choose_engine, run_forward
from beedex.training.backbone.taps import build_blocks
from beedex.training.backbone.weights import load_inception

ENGINES: tuple[Engine, ...] = ("openvino", "tensorflow")


def main() -> None:
    """Print the photos per second of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", default="bundled")
    arguments = parser.parse_args()
    model = build_blocks(load_inception(arguments.weights)[0])
    images = np.random.default_rng(0).integers(0, 256, (arguments.photos, 299, 299, 3), dtype=np.uint8)
    starts: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    rates: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(arguments.rounds):
        for engine in ENGINES:
            rows = run_forward(model, images, engine=engine)
            began = time.perf_counter()
            for _ in range(TENSORFLOW_BATCH):
                next(rows)
            started = time.perf_counter()
            rates[engine].append(sum(1 for _ in rows) / (time.perf_counter() - started))
            starts[engine].append(started - began)
    for engine in ENGINES:
        rate, start = statistics.median(rates[engine]), statistics.median(starts[engine])
        print(f"{engine:12} {rate:6.1f} photos/s, after {start:.1f} s until the first {TENSORFLOW_BATCH}")
    ratio = statistics.median(rates["openvino"]) / statistics.median(rates["tensorflow"])
    print(f"ratio        {ratio:6.2f} x; beedex uses {choose_engine()} here")


if __name__ == "__main__":
    main()
