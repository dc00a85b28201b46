"""What computing features once saves: an epoch of the head on cached features against the backbone's forward passes.

    python tests/benchmarks/head_epoch.py --bundle beedex-demo/embedder [--photos 140]

The photos are noise: what is timed does not depend on what they show.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.training.fitting.batches import Batches
from beedex.training.fitting.fit import FitConfig, fit_head
from beedex.training.fitting.model import HeadShape

FAMILIES = 6


def main() -> None:
    """Print the time of both, in the same run, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=140)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (arguments.photos, 299, 299, 3), dtype=np.uint8)
    with Embedder.open(load_bundle(arguments.bundle)) as embedder:
        embedder.features(images[:4])
        started = time.perf_counter()
        features = embedder.features(images)[:, np.newaxis]  # (N, 1, F)
        forward_s = time.perf_counter() - started
    labels = np.arange(arguments.photos) % FAMILIES
    groups = [str(i) for i in range(arguments.photos)]
    config = FitConfig()
    steps = Batches(
        labels,
        groups,
        families_per_batch=config.families_per_batch,
        photos_per_family=config.photos_per_family,
        generator=generator,
    ).steps_per_epoch

    def time_steps(count: int) -> float:
        started = time.perf_counter()
        fit_head(features, labels, groups, HeadShape(), FitConfig(fewest_steps=count, epochs=1, most_steps=count))
        return time.perf_counter() - started

    # The difference of two trainings leaves out what a training costs once: building and tracing.
    epoch_s = (time_steps(600) - time_steps(100)) / 500 * steps
    print(f"forward passes of {arguments.photos} photos  {forward_s * 1000:8.0f} ms")
    print(f"an epoch of {steps} steps on features  {epoch_s * 1000:8.0f} ms")
    print(f"ratio                         {forward_s / epoch_s:8.0f} x")


if __name__ == "__main__":
    main()
