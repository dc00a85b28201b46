"""What activations stored at the cut save: an epoch of stage two on them against an epoch on the photos.

    python tests/benchmarks/fine_tuning.py [--photos 80] [--unfreeze-from mixed9] [--weights bundled]

Both take the same steps on the same batches, by the same compiled step: forward, triplet loss, gradients of the blocks
that train and of the head, AdamW. Photos lie decoded in memory and activations on the disk, where `beedex train` keeps
them. The photos are noise: what is timed does not depend on what they show. At the end, what serving costs.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from beedex.index.durable import sha256_file
from beedex.index.inference import InferencePool
from beedex.index.preprocessing import prepare
from beedex.training.backbone.forward import convert_to_openvino
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.taps import PLAIN_BLOCKS, build_backbone
from beedex.training.backbone.views import Views
from beedex.training.backbone.weights import load_inception
from beedex.training.fitting.model import HeadShape, build_embedder, build_head
from beedex.training.fitting.standardization import fit_standardization
from beedex.training.losses import TripletLoss
from beedex.training.recipes.finetune import (
    Split,
    build_tail_network,
    build_tuned_embedder,
    cache_activations,
    split_backbone,
)

FAMILIES = 8
BATCH = 40
SERVED_PHOTOS = 32

# Gives the inputs of a batch of photos.
Take = Callable[[NDArray[np.int64]], Sequence[tf.Tensor]]
Work = Callable[[], object]


def main() -> None:
    """Print the time of both in the same run, their ratio, and how far the steps lead them apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unfreeze-from", default="mixed9")
    parser.add_argument("--weights", default="bundled")
    arguments = parser.parse_args()
    inception, _ = load_inception(arguments.weights)
    split = split_backbone(inception, PLAIN_BLOCKS, unfreeze_from=arguments.unfreeze_from)
    with tempfile.TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder), arguments.photos)
        images = np.stack([prepare(photo.read()) for photo in photos])
        activations = cache_activations(photos, split, views=Views(count=1), cache=Path(folder))
        backbone = build_backbone(inception, PLAIN_BLOCKS)
        standardization = fit_standardization(backbone(images[:SERVED_PHOTOS]).numpy())
        head = build_head(standardization.dimension, HeadShape(dropout=0.0), seed=0)
        stored, tail = (build_tail_network(split, head, standardization) for _ in range(2))
        before = stored.get_weights()
        batches = [np.arange(start, start + BATCH) for start in range(0, arguments.photos - BATCH + 1, BATCH)]
        plain_s, stored_s = time_in_turns(
            [
                prepare_epoch(build_plain(split, tail), lambda batch: [tf.constant(images[batch])], batches),
                prepare_epoch(stored, lambda batch: [*map(tf.constant, activations.take(batch, 0 * batch))], batches),
            ],
            arguments.rounds,
        )
        print(f"stage two from {arguments.unfreeze_from}, {len(batches)} batches of {BATCH} photos an epoch")
        print(f"an epoch on photos              {plain_s:8.2f} s")
        print(f"an epoch on stored activations  {stored_s:8.2f} s")
        print(f"ratio                           {plain_s / stored_s:8.2f} x")
        steps = (1 + arguments.rounds) * len(batches)
        print(f"in {steps} steps the weights moved by up to {find_largest(stored.get_weights(), before):.1e},")
        print(f"and those of both differ by up to {find_largest(stored.get_weights(), tail.get_weights()):.1e}")

        embedders = {"frozen": build_embedder(backbone, head, standardization)} | {
            name: build_tuned_embedder(split, stored, standardization, test_views=test_views)
            for name, test_views in (("tuned", 1), ("tuned, with the mirror image", 2))
        }
        print_serving(embedders, images[:SERVED_PHOTOS], arguments.rounds)


def draw_photos(folder: Path, count: int) -> list[PhotoSource]:
    """Write noise as photos."""
    generator = np.random.default_rng(0)
    photos = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((400, 300)).save(path)
        photos.append(PhotoSource(path=path, sha256=sha256_file(path)))
    return photos


def build_plain(split: Split, tail: keras.Model) -> keras.Model:
    """Return the whole network, of which *tail* trains."""
    split.trunk.trainable = False
    image = keras.Input(split.trunk.input.shape[1:], dtype="uint8")
    return keras.Model(image, tail(keras.tree.flatten(split.trunk(image))))


def prepare_epoch(network: keras.Model, take: Take, batches: Sequence[NDArray[np.int64]]) -> Work:
    """Return what trains an epoch."""
    loss, optimizer = TripletLoss("batch-all"), keras.optimizers.AdamW(1e-5)
    optimizer.build(network.trainable_variables)
    labels = tf.constant(np.arange(BATCH) % FAMILIES)

    @tf.function
    def take_step(rows: Sequence[tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(labels, network(rows if len(rows) > 1 else rows[0], training=True))
        optimizer.apply(tape.gradient(value, network.trainable_variables), network.trainable_variables)
        return value

    # The last value waits for its step.
    return lambda: float([take_step(take(batch)) for batch in batches][-1])


def time_in_turns(works: Sequence[Work], rounds: int) -> list[float]:
    """Return the median seconds of each; they take turns, so that a busy machine slows them alike.

    A first round, which compiles what needs it, isn't counted.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(1 + rounds):
        for work, of_work in zip(works, seconds, strict=True):
            started = time.perf_counter()
            work()
            of_work.append(time.perf_counter() - started)
    return [statistics.median(of_work[1:]) for of_work in seconds]


def print_serving(embedders: dict[str, keras.Model], images: NDArray[np.uint8], rounds: int) -> None:
    """Print what each embedder's answers cost, next to the first one's."""
    with ExitStack() as stack:
        pools = [stack.enter_context(InferencePool(convert_to_openvino(model))) for model in embedders.values()]
        works: list[Work] = [lambda pool=pool: list(pool.run(images)) for pool in pools]  # type: ignore[misc]
        seconds = time_in_turns(works, rounds)
    for name, of_embedder in zip(embedders, seconds, strict=True):
        print(f"serving takes {of_embedder / seconds[0]:.2f} times as long as frozen: {name}")


def find_largest(first: Sequence[NDArray[np.float32]], second: Sequence[NDArray[np.float32]]) -> float:
    """Return the largest difference of two lists of weights."""
    return max(float(np.abs(one - other).max()) for one, other in zip(first, second, strict=True))


if __name__ == "__main__":
    main()
