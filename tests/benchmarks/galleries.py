"""What recipes.py and views.py train on and how they judge it: stored features, and the splits of `cross_validate`.

Shapes: R repeats, N photos, Q held-out photos, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.figure import Figure
from beedex.index.gallery import scan_gallery
from beedex.index.metrics import RetrievalScores, estimate, score_retrieval
from beedex.index.progress import report_progress
from beedex.training.backbone.features import compute_features
from beedex.training.backbone.taps import Block
from beedex.training.backbone.views import Views
from beedex.training.fitting.batches import find_trainable
from beedex.training.folds import Protocol, Split, choose_protocol, draw_splits
from beedex.training.recipes.material import Material
from beedex.training.recipes.selection import BlockGrams
from beedex.training.trainingset import read_training_set

SEED = 0


def read_material(
    gallery: Path, inception: keras.Model, *, views: Views, blocks: Sequence[Block], cache: Path
) -> Material:
    """Read a gallery as `beedex train` does; features that the cache lacks are computed."""
    data = read_training_set(scan_gallery(gallery))
    with report_progress(f"computing features of {gallery.name}", len(data.photos)) as advance:
        features = compute_features(data.sources, inception, views=views, cache=cache, blocks=blocks, advance=advance)
    grams = BlockGrams.measure(features, data.labels, data.groups, seed=SEED, blocks=blocks)
    return Material(features=features, labels=data.labels, groups=data.groups, families=data.families, grams=grams)


def list_splits(material: Material) -> tuple[Protocol, list[Split]]:
    """Return the very splits that `cross_validate` trains for."""
    labels, groups = material.labels, np.asarray(material.groups)
    protocol = choose_protocol(labels, material.groups)
    splits = draw_splits(labels, material.groups, protocol, seed=SEED)
    return protocol, [
        split for split in splits if len(find_trainable(labels[~split.held_out], groups[~split.held_out])) >= 2
    ]


class HeldOutScores:
    """Scores of photos that were held out, split by split: (R, N), NaN where a photo had none."""

    def __init__(self, material: Material, protocol: Protocol) -> None:
        self._labels, self._groups = material.labels, material.groups
        shape = (protocol.repeats, len(material.labels))
        self.hits, self.precisions = np.full(shape, np.nan), np.full(shape, np.nan)

    def add(self, split: Split, asked: NDArray[np.float32], known: NDArray[np.float32]) -> None:
        """Look a split's held-out photos, unit vectors (Q, D), up among the others, (N - Q, D)."""
        held_out = split.held_out
        scores: RetrievalScores = score_retrieval(asked @ known.T, self._labels[held_out], self._labels[~held_out])
        self.hits[split.repeat, held_out] = scores.hit_at_1
        self.precisions[split.repeat, held_out] = scores.average_precision_at_r

    def estimate(self) -> tuple[Figure, Figure]:
        """Return Recall@1 and MAP@R, each with its interval by group."""
        return estimate(self.hits, self._groups), estimate(self.precisions, self._groups)


def format_figure(figure: Figure) -> str:
    """Write a figure and its 95 % interval; nothing for one that was not measured."""
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" if np.isfinite(figure.value) else ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to look photos up: (R, N) scores, NaN where there is none."""

    name: str
    hits: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @classmethod
    def take(cls, name: str, scores: HeldOutScores) -> Self:
        """Take the scores of embedders."""
        return cls(name=name, hits=scores.hits, precisions=scores.precisions)


def print_rows(rows: list[Row], groups: Sequence[str], notes: Mapping[str, str] | None = None) -> None:
    """Print Recall@1 and MAP@R with their intervals."""
    width = max(len(row.name) for row in rows)
    print(f"{'':{width}}  {'Recall@1 (95 %)':24}  {'MAP@R (95 %)':24}")
    for row in rows:
        figures = [format_figure(estimate(values, groups)) for values in (row.hits, row.precisions)]
        print(f"{row.name:{width}}  {figures[0]:24}  {figures[1]:24}  {(notes or {}).get(row.name, '')}".rstrip())


def describe_rows(rows: list[Row], groups: Sequence[str]) -> dict[str, Any]:
    """Return the figures as plain data."""
    return {
        row.name: {
            "recall_at_1": asdict(estimate(row.hits, groups)),
            "map_at_r": None if np.isnan(row.precisions).all() else asdict(estimate(row.precisions, groups)),
        }
        for row in rows
    }
