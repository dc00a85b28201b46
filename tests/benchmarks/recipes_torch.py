"""The other side of recipes.py: heads trained with pytorch-metric-learning, in an environment that has no beedex.

    python recipes_torch.py FOLDER [--workers 2]

It reads the folder's `tasks.npz`: `labels` (N,), `trained` (T, N), for each task the photos to train on, and `steps`
(T,); for each task `rows-NUMBER.npy` (N, V, F), all photos' features as beedex standardizes them for these training
photos; and `settings.json`. It writes `vectors.npy` (T, R, N, D), the unit vectors of all photos by each task's heads,
and `recipes.json`, the names of the R recipes.

What isn't the recipe is as in beedex: one linear layer with the same kind of initial weights and the same dimension,
dropout before it, a random view of a photo in each step, AdamW along a cosine, P families x K photos. Batches are the
library's own, by its `MPerClassSampler`.

Shapes: N photos, V views, F standardized features, T tasks, R recipes, B batch, D dimension.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports] -- in the other environment
from pytorch_metric_learning import losses, miners, samplers  # pyright: ignore[reportMissingImports] -- so is this
from pytorch_metric_learning.utils import common_functions  # pyright: ignore[reportMissingImports]


def build_all(margin: float) -> tuple[Any, Any]:
    """Every triplet of the batch that violates the margin, averaged: the library's default but for the margin."""
    return losses.TripletMarginLoss(margin=margin), None


def build_semihard(margin: float) -> tuple[Any, Any]:
    """Negatives farther than the positive, but within the margin."""
    return losses.TripletMarginLoss(margin=margin), miners.TripletMarginMiner(margin, type_of_triplets="semihard")


def build_hard(margin: float, *, smooth: bool) -> tuple[Any, Any]:
    """Each anchor's farthest positive and nearest negative."""
    return losses.TripletMarginLoss(margin=margin, smooth_loss=smooth), miners.BatchHardMiner()


def build_multi_similarity(margin: float) -> tuple[Any, Any]:
    """Pairs that the multi-similarity miner finds informative."""
    return losses.TripletMarginLoss(margin=margin), miners.MultiSimilarityMiner()


# 0.05 is the library's default margin, 0.2 the one of its examples and of FaceNet; the largest is beedex's.
LOSSES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "all, margin 0.05": partial(build_all, 0.05),
    "all, margin 0.2": partial(build_all, 0.2),
    "all, margin 1.0": partial(build_all, 1.0),
    "semihard, margin 0.2": partial(build_semihard, 0.2),
    "batch-hard, smooth": partial(build_hard, 0.0, smooth=True),
    "batch-hard, margin 0.2": partial(build_hard, 0.2, smooth=False),
    "multi-similarity miner, margin 0.1": partial(build_multi_similarity, 0.1),
}

# Beedex's, and three times as much: a loss of few violated triplets has gradients for few photos a step.
LEARNING_RATES = (1e-3, 3e-3)

RECIPES = list(itertools.product(LOSSES, LEARNING_RATES))


def train_task(folder: Path, task: int) -> np.ndarray:
    """Return the vectors (R, N, D) of one task's heads."""
    torch.set_num_threads(1)
    settings = json.loads((folder / "settings.json").read_text())
    with np.load(folder / "tasks.npz") as tasks:
        labels, trained, steps = tasks["labels"], tasks["trained"][task], int(tasks["steps"][task])
    rows = torch.from_numpy(np.load(folder / f"rows-{task}.npy"))  # (N, V, F)
    vectors = []
    for name, learning_rate in RECIPES:
        optimizer = partial(torch.optim.AdamW, lr=learning_rate, weight_decay=settings["weight_decay"], fused=True)
        head = train_head(
            rows, torch.from_numpy(labels), np.flatnonzero(trained), steps, settings, optimizer, *LOSSES[name]()
        )
        with torch.no_grad():
            vectors.append(torch.nn.functional.normalize(head(rows[:, 0])).numpy())
    return np.stack(vectors)


def train_head(
    rows: torch.Tensor,
    labels: torch.Tensor,
    trained: np.ndarray,
    steps: int,
    settings: dict[str, Any],
    build_optimizer: Callable[..., Any],
    loss: Any,
    miner: Any,
) -> torch.nn.Linear:
    """Train a head by one recipe; all recipes start from the same weights and see the same batches and dropout."""
    generator = np.random.default_rng(settings["seed"])
    torch.manual_seed(settings["seed"])
    common_functions.NUMPY_RANDOM = np.random.RandomState(settings["seed"])  # what the sampler draws from
    head = torch.nn.Linear(rows.shape[2], settings["dimension"])
    torch.nn.init.xavier_uniform_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimizer = build_optimizer(head.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in draw_batches(labels[trained], steps, settings):
        photos = trained[batch]
        views = generator.integers(rows.shape[1], size=len(photos))
        drawn = torch.nn.functional.dropout(rows[photos, views], settings["dropout"])  # (B, F)
        vectors = torch.nn.functional.normalize(head(drawn))  # (B, D)
        optimizer.zero_grad()
        loss(vectors, labels[photos], miner(vectors, labels[photos]) if miner else None).backward()
        optimizer.step()
        schedule.step()
    return head


def draw_batches(labels: torch.Tensor, steps: int, settings: dict[str, Any]) -> np.ndarray:
    """Return (steps, B) numbers of training photos."""
    families = min(settings["families_per_batch"], len(labels.unique()))
    size = families * settings["photos_per_family"]
    sampler = samplers.MPerClassSampler(
        labels, settings["photos_per_family"], batch_size=size, length_before_new_iter=steps * size
    )
    return np.array(list(sampler)).reshape(steps, size)


def main() -> None:
    """Train each task's heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    with np.load(folder / "tasks.npz") as tasks:
        count = len(tasks["trained"])
    vectors = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for done, of_task in enumerate(pool.map(partial(train_task, folder), range(count)), start=1):
            vectors.append(of_task)
            print(f"pytorch-metric-learning: {done} of {count} times {len(RECIPES)} heads", file=sys.stderr, flush=True)
    np.save(folder / "vectors.npy", np.stack(vectors))
    (folder / "recipes.json").write_text(json.dumps([f"{name}, rate {rate:g}" for name, rate in RECIPES]))


if __name__ == "__main__":
    main()
