"""Choosing the blocks that features are made of, by validation among the training photos.

Training a head for every candidate would take minutes, so a closed form stands in for it: features whitened by the
covariance within families (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 4.3.2,
shrunk as in equation 4.14 towards a multiple of the identity). Photos held out by group are looked up among the others,
as for every other figure.

The joined features of some blocks have unit norm, and every block has the same weight in them: their Gram matrix is
the mean of the blocks' Gram matrices. So all candidates are judged from one N x N matrix a block, and none but these
is ever computed.

Shapes: N photos that are judged, K of them known, S dimensions of their span, C families.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from beedex.index.figure import Figure
from beedex.index.metrics import estimate, score_retrieval
from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import Block, name_blocks, sort_blocks
from beedex.training.folds import assign_folds

__all__ = ["BlockGrams", "Candidate", "Selection", "choose_blocks"]

FOLDS = 3

# More photos are drawn from, by group: their matrices would take more memory than the choice is worth.
MOST_JUDGED = 500

# Of the covariance within families towards the identity: what is known of a covariance of a few hundred directions from
# a hundred photos is little. Recall@1 on 154 field photos was the same to 0.03 for 0.2, 0.3 and 0.6.
SHRINKAGE = 0.3

# Directions whose share of the largest is rounding.
SMALLEST_SHARE = 1e-7


@dataclass(frozen=True, kw_only=True)
class BlockGrams:
    """Similarities between photos, block by block.

    Attributes:
        photos: (N,) numbers of the photos that are judged, ascending.
        grams: (N, N) of each block.
    """

    photos: NDArray[np.int64]
    grams: Mapping[Block, NDArray[np.float32]]

    @classmethod
    def measure(
        cls, features: Features, labels: NDArray[np.int64], groups: Sequence[str], *, seed: int, blocks: Sequence[Block]
    ) -> Self:
        """Compare all photos, or about `MOST_JUDGED` of them, drawn by group.

        Args:
            features: with the blocks; view 0 is compared.
            labels: of all photos.
            groups: of all photos.
            seed: of the draw.
            blocks: to compare by.
        """
        parts = -(-len(labels) // MOST_JUDGED)
        drawn = assign_folds(labels, groups, folds=parts, seed=seed) == 0 if parts > 1 else np.ones(len(labels), bool)
        photos = np.flatnonzero(drawn)
        grams = {}
        for block in blocks:
            vectors = features.select([block]).subset(photos).matrix()
            grams[block] = vectors @ vectors.T
        return cls(photos=photos, grams=grams)

    def subset(self, kept: NDArray[np.bool_]) -> "BlockGrams":
        """Return those of the photos where *kept*, over all photos, is true; photos are numbered anew, without gaps."""
        rows = kept[self.photos]
        numbers = np.cumsum(kept) - 1
        grams = {block: gram[np.ix_(rows, rows)] for block, gram in self.grams.items()}
        return BlockGrams(photos=numbers[self.photos[rows]], grams=grams)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Blocks that were tried.

    Attributes:
        blocks: joined.
        map_at_r: of held-out photos, with its interval by group.
        chosen: whether these were taken.
    """

    blocks: tuple[Block, ...]
    map_at_r: Figure
    chosen: bool

    @property
    def name(self) -> str:
        """The blocks in words."""
        return name_blocks(self.blocks)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice and its reasons.

    Attributes:
        blocks: that were chosen.
        candidates: all that were tried, best first.
        why: in one sentence.
    """

    blocks: tuple[Block, ...]
    candidates: tuple[Candidate, ...]
    why: str


def choose_blocks(
    grams: BlockGrams,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    candidates: Sequence[Sequence[Block]],
    *,
    seed: int,
) -> Selection:
    """Choose among sets of blocks.

    The first candidate is the default, and stands unless another one's MAP@R is higher by more than the standard error
    of their paired difference: the best of many is a maximum over noise.

    Args:
        grams: of every block of the candidates.
        labels: of all photos.
        groups: of all photos.
        candidates: sets of blocks, the default first.
        seed: of the folds.
    """
    own_labels = labels[grams.photos]
    own_groups = [str(groups[photo]) for photo in grams.photos.tolist()]
    fold_of = assign_folds(own_labels, own_groups, folds=FOLDS, seed=seed)
    ordered = [sort_blocks(blocks) for blocks in candidates]
    scores = [_judge(_join(grams, blocks), own_labels, fold_of) for blocks in ordered]  # (N,) each
    means = [float(np.nanmean(score)) if not np.isnan(score).all() else -np.inf for score in scores]
    best = int(np.argmax(means))
    chosen = best if _is_shown(scores[best] - scores[0]) else 0
    rows = [
        Candidate(blocks=blocks, map_at_r=estimate(score, own_groups), chosen=number == chosen)
        for number, (blocks, score) in enumerate(zip(ordered, scores, strict=True))
    ]
    return Selection(
        blocks=ordered[chosen],
        candidates=tuple(sorted(rows, key=lambda row: -row.map_at_r.value)),
        why=_explain(rows, chosen=chosen, best=best),
    )


def _explain(rows: Sequence[Candidate], *, chosen: int, best: int) -> str:
    taken, highest = rows[chosen], rows[best]
    if chosen == best:
        what = "has the highest MAP@R" if chosen == 0 else "beats the default's by more than a standard error"
        return f"{taken.name}: of {len(rows)} candidates it {what}, {taken.map_at_r.value:.2f}"
    return (
        f"{taken.name}: the default, MAP@R {taken.map_at_r.value:.2f}; the best of {len(rows)} candidates, "
        f"{highest.name}, has {highest.map_at_r.value:.2f}, no more than a standard error above it"
    )


def _join(grams: BlockGrams, blocks: Sequence[Block]) -> NDArray[np.float64]:
    """Return (N, S) coordinates with the distances of the joined features."""
    gram = np.mean([grams.grams[block] for block in blocks], axis=0, dtype=np.float64)  # (N, N)
    variances, directions = np.linalg.eigh(gram)
    kept = variances > SMALLEST_SHARE * variances[-1]
    coordinates: NDArray[np.float64] = directions[:, kept] * np.sqrt(variances[kept])
    return coordinates


def _judge(
    coordinates: NDArray[np.float64], labels: NDArray[np.int64], fold_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return (N,) MAP@R's terms of the photos, each looked up among those of the other folds."""
    precisions = np.full(len(labels), np.nan)
    for fold in np.unique(fold_of):
        known = fold_of != fold
        if len(np.unique(labels[known])) < 2:
            continue
        whitened = coordinates @ _whiten(coordinates[known], labels[known])  # (N, S)
        whitened -= whitened[known].mean(axis=0)
        vectors = whitened / np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), 1e-12)
        similarities = (vectors[~known] @ vectors[known].T).astype(np.float32)
        precisions[~known] = score_retrieval(similarities, labels[~known], labels[known]).average_precision_at_r
    return precisions


def _whiten(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (S, S) map that makes the shrunk covariance within families the identity, from known rows (K, S)."""
    means = np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])  # (C, S)
    inside = rows - means[np.searchsorted(np.unique(labels), labels)]
    covariance = inside.T @ inside / len(rows)
    average = np.trace(covariance) / len(covariance)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * average * np.eye(len(covariance))
    variances, directions = np.linalg.eigh(shrunk)
    whitening: NDArray[np.float64] = directions / np.sqrt(np.maximum(variances, 1e-12))
    return whitening


def _is_shown(differences: NDArray[np.float64]) -> bool:
    known = differences[~np.isnan(differences)]
    return len(known) > 1 and bool(known.mean() > known.std(ddof=1) / np.sqrt(len(known)))
