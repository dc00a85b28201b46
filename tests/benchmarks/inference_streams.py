"""How the embedder's network runs fastest on this CPU: one photo a request, batches, or TensorFlow.

    python tests/benchmarks/inference_streams.py --bundle beedex-demo/embedder [--rounds 5]

The ways take turns in one process, so that a busy machine slows them alike.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder

BATCH = 8
PHOTOS = 48


def run_batches(network: Path) -> Callable[[NDArray[np.uint8]], object]:
    """Return a function that infers in batches of `BATCH`, all cores on one batch."""
    model = ov.Core().read_model(network)
    model.reshape([BATCH, 299, 299, 3])
    compiled = ov.Core().compile_model(
        model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": ov.Type.f32}
    )
    return lambda images: [compiled(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]


def run_one_at_a_time(network: Path) -> Callable[[NDArray[np.uint8]], object]:
    """Return a function that infers photo after photo, all cores on one."""
    compiled = ov.Core().compile_model(
        network, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": ov.Type.f32}
    )
    return lambda images: [compiled(image[np.newaxis]) for image in images]


def main() -> None:
    """Print the photos per second of each way, and the ratio of beedex's to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    images = np.random.default_rng(0).integers(0, 256, (PHOTOS, 299, 299, 3), dtype=np.uint8)
    model = keras.saving.load_model(bundle.path / "model.keras", compile=False)
    with Embedder.open(bundle) as embedder:
        ways: dict[str, Callable[[NDArray[np.uint8]], object]] = {
            f"beedex: one a request, {embedder.parallelism} at once": embedder.embed,
            "OpenVINO, one after the other": run_one_at_a_time(bundle.network_path),
            f"OpenVINO, batches of {BATCH}": run_batches(bundle.network_path),
            f"Keras on TensorFlow, batches of {BATCH}": lambda some: model.predict(some, batch_size=BATCH, verbose=0),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way(images[:BATCH])
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                way(images)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ours = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{name:38} {PHOTOS / median:6.1f} photos/s   beedex is {median / ours:4.2f} x")


if __name__ == "__main__":
    main()
