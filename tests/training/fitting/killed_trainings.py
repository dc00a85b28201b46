"""Trains on made features in processes that die: a program that test_checkpoints.py runs and talks to.

``python killed_trainings.py CHECKPOINT`` trains once, prints the sha256 of the weights and how often the guard acted.
With ``--serve`` each line on standard input is one training: ``CHECKPOINT event N`` dies by SIGKILL at its N-th
operation on the checkpoint's folder, ``CHECKPOINT after SECONDS`` is killed from outside. Each is answered with the
signal that ended it or, where it came to its end, with 0 and what the training prints.
"""

import argparse
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.training.fitting.checkpoints import CheckpointFile
from beedex.training.fitting.fit import FitConfig, Outlets, Validation, fit_head
from beedex.training.fitting.guard import GuardConfig
from beedex.training.fitting.model import HeadShape

FAMILIES, PHOTOS, FEATURES = 6, 120, 32

EVENTS = ("open", "os.rename")

# It collapses within the first steps and the guard acts, so that its state matters too.
CONFIG = FitConfig(
    mining="batch-hard",
    margin=0.1,
    learning_rate=0.3,
    families_per_batch=6,
    photos_per_family=4,
    epochs=1,
    fewest_steps=120,
    evaluate_every=20,
    guard=GuardConfig(in_a_row=2),
)


def draw_features() -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """(N, 2, F) features, labels and groups of two photos each."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(FAMILIES), PHOTOS // FAMILIES)
    features = generator.standard_normal((PHOTOS, 2, FEATURES)) + 3 * np.eye(FEATURES)[labels][:, np.newaxis]
    return features.astype(np.float32), labels, [str(i // 2) for i in range(PHOTOS)]


def train(checkpoint: Path | None) -> str:
    """Train, saving the state at every step, and return the sha256 of all weights and of the loss's history."""
    features, labels, groups = draw_features()
    file = CheckpointFile(path=checkpoint, key="made", seconds_between_writes=0) if checkpoint else None
    trained = fit_head(
        features,
        labels,
        groups,
        HeadShape(dimension=8, hidden_units=16),
        CONFIG,
        validation=Validation(photos=np.arange(PHOTOS)[::10].repeat(2) + np.tile([0, 1], PHOTOS // 10)),
        outlets=Outlets(checkpoint=file),
    )
    digest = hashlib.sha256()
    for array in [*trained.head.get_weights(), trained.history.loss, trained.history.validation_map_at_r]:
        digest.update(array.tobytes())
    return f"{digest.hexdigest()} {len(trained.history.actions)}"


def train_and_die(checkpoint: Path, how: str, amount: str) -> str:
    """Train in a child, and return the signal that ended it, or 0 and what `train` returned."""
    reading, writing = os.pipe()
    # TensorFlow is imported, which takes most of the time, and has done nothing yet that a fork could break.
    child = os.fork()
    if child == 0:
        os.close(reading)
        if how == "event":
            sys.addaudithook(_die_at(checkpoint.parent, int(amount)))
        os.write(writing, train(checkpoint).encode())
        os._exit(0)
    os.close(writing)
    if how == "after":
        time.sleep(float(amount))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return str(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else f"{os.WEXITSTATUS(status)} {said}"


def _die_at(folder: Path, limit: int):
    count = 0

    def observe(event: str, details: tuple[object, ...]) -> None:
        nonlocal count
        if event in EVENTS and str(details[0]).startswith(str(folder)):
            count += 1
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if not arguments.serve:
        print(train(arguments.checkpoint))
        return
    for line in sys.stdin:
        checkpoint, how, amount = line.rsplit(maxsplit=2)
        print(train_and_die(Path(checkpoint), how, amount), flush=True)


if __name__ == "__main__":
    main()
