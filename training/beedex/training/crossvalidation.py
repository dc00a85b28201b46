"""What a head reaches on photos that it wasn't trained on: grouped, stratified cross-validation.

Each fold's photos are looked up, as a user's would be, among the photos that the fold's head was trained on, and the
same look-up on the untrained features is the baseline. The held-out photos' evidence is kept: the calibration is
fitted on it. Photos of families *outside* the gallery are simulated by heads that never saw one of the families.

Shapes: N photos, V views, F families.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import EVIDENCE_NEIGHBORS, weigh_families
from beedex.index.metrics import RetrievalScores, chance_recall_at_1, score_retrieval
from beedex.index.progress import Advance, ignore_progress
from beedex.training.batches import find_trainable
from beedex.training.errors import TrainingError
from beedex.training.fit import FitConfig, fit_head
from beedex.training.folds import assign_folds
from beedex.training.model import HeadShape

__all__ = ["CrossValidation", "LabelledFeatures", "cross_validate"]

FOLDS = 5

# More families than this are left out several at a time, so that their number doesn't set the training time.
OUTSIDE_HEADS = 6


# Similarities of these to 100,000 photos are 400 MB.
QUERIES_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class LabelledFeatures:
    """What heads are trained on.

    Attributes:
        features: (N, V, D) of the frozen backbone; view 0 is the photo as it is served.
        labels: (N,) indices into `families`.
        groups: (N,).
        families: (F,) names, sorted.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    families: tuple[str, ...]

    def take(self, chosen: NDArray[np.bool_]) -> "LabelledFeatures":
        """Return the photos where *chosen* (N,) is true; families keep their numbers."""
        groups = tuple(group for group, kept in zip(self.groups, chosen, strict=True) if kept)
        return LabelledFeatures(
            features=self.features[chosen], labels=self.labels[chosen], groups=groups, families=self.families
        )


@dataclass(kw_only=True)
class CrossValidation:
    """The held-out results, by photo.

    Attributes:
        folds: how many sets were held out in turn; photos without which nothing can be trained have no scores.
        trained: scores of the trained heads, (N,) each.
        frozen: scores of the untrained features, (N,) each.
        chance: Recall@1 of a random guess among the reference photos.
        evidence: (N, F) of each held-out photo, as `weigh_families` gives it; NaN for families that had no photo.
        outside_evidence: (M,) the best family's evidence of photos whose own family was left out of training and
            reference; empty with fewer than three families.
    """

    folds: int
    trained: RetrievalScores
    frozen: RetrievalScores
    chance: float
    evidence: NDArray[np.float64]
    outside_evidence: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def count_heads(families: int) -> int:
    """Return how many heads `cross_validate` trains: the units of its progress."""
    return FOLDS + (min(families, OUTSIDE_HEADS) if families >= 3 else 0)


def cross_validate(
    data: LabelledFeatures, shape: HeadShape, config: FitConfig, *, advance: Advance = ignore_progress
) -> CrossValidation:
    """Train a head for each fold and for each left-out family, and score what they didn't see.

    Args:
        data: the whole gallery; every family needs two groups, and a good figure many more.
        shape: of the heads.
        config: of their training; its seed also draws the folds.
        advance: called with 1 for each head; see `count_heads`.

    Raises:
        TrainingError: no split leaves enough to train on.
    """
    count = len(data.labels)
    trained, frozen = _empty_scores(count), _empty_scores(count)
    evidence = np.full((count, len(data.families)), np.nan)
    chances = np.full(count, np.nan)
    trained_folds = 0
    for held_out in _split(data, seed=config.seed):
        advance(1)
        known = data.take(~held_out)
        if len(find_trainable(known.labels, known.groups)) < 2:
            continue
        trained_folds += 1
        embed = fit_head(known.features, known.labels, known.groups, shape, config).embed
        chances[held_out] = chance_recall_at_1(data.labels[held_out], known.labels)
        known_vectors, known_features = embed(known.features[:, 0]), known.features[:, 0]
        for rows in _split_rows(held_out):
            labels, features = data.labels[rows], data.features[rows, 0]
            similarities = embed(features) @ known_vectors.T
            _store(trained, rows, score_retrieval(similarities, labels, known.labels))
            _store(frozen, rows, score_retrieval(features @ known_features.T, labels, known.labels))
            evidence[rows] = _weigh(similarities, known)
    if trained_folds == 0:
        raise TrainingError(
            "no photo can be held out: every split leaves fewer than two families with photos of two groups; "
            "expected at least three groups a family, add photos of more animals or scenes"
        )
    outside = [_weigh_outsiders(data, left_out, shape, config, advance) for left_out in _leave_out_families(data)]
    return CrossValidation(
        folds=trained_folds,
        trained=trained,
        frozen=frozen,
        chance=float(np.nanmean(chances)),
        evidence=evidence,
        outside_evidence=np.concatenate(outside) if outside else np.empty(0),
    )


def _split(data: LabelledFeatures, *, seed: int) -> Iterator[NDArray[np.bool_]]:
    fold_of = assign_folds(data.labels, data.groups, folds=FOLDS, seed=seed)
    for fold in range(FOLDS):
        held_out = fold_of == fold
        if held_out.any():
            yield held_out


def _leave_out_families(data: LabelledFeatures) -> Iterator[NDArray[np.int64]]:
    families = len(data.families)
    if families >= 3:
        # Two families must be left to train on.
        yield from np.array_split(
            np.arange(families), max(min(families, OUTSIDE_HEADS), -(-families // (families - 2)))
        )


def _weigh_outsiders(
    data: LabelledFeatures, left_out: NDArray[np.int64], shape: HeadShape, config: FitConfig, advance: Advance
) -> NDArray[np.float64]:
    outside = np.isin(data.labels, left_out)
    known = data.take(~outside)
    advance(1)
    if len(find_trainable(known.labels, known.groups)) < 2:
        return np.empty(0)
    embed = fit_head(known.features, known.labels, known.groups, shape, config).embed
    known_vectors = embed(known.features[:, 0])
    best = [
        np.nanmax(_weigh(embed(data.features[rows, 0]) @ known_vectors.T, known), axis=1)
        for rows in _split_rows(outside)
    ]
    return np.concatenate(best)


def _split_rows(chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the numbers of the chosen photos in pieces whose similarities to all others fit into memory."""
    rows = np.flatnonzero(chosen)
    return np.array_split(rows, -(-len(rows) // QUERIES_AT_ONCE))


def _weigh(similarities: NDArray[np.float32], known: LabelledFeatures) -> NDArray[np.float64]:
    """Return (Q, F) evidence, NaN for the families that *known* has no photo of."""
    present, counts = np.unique(known.labels, return_counts=True)
    sizes = {known.families[label]: int(count) for label, count in zip(present, counts, strict=True)}
    evidence = np.full((len(similarities), len(known.families)), np.nan)
    for row, of_query in zip(evidence, similarities, strict=True):
        nearest = np.argsort(-of_query, kind="stable")[:EVIDENCE_NEIGHBORS]
        of_family = [known.families[label] for label in known.labels[nearest]]
        row[present] = weigh_families(of_query[nearest], of_family, sizes)
    return evidence


def _empty_scores(count: int) -> RetrievalScores:
    return RetrievalScores(*(np.full(count, np.nan) for _ in range(3)))


def _store(scores: RetrievalScores, where: NDArray[np.int64], found: RetrievalScores) -> None:
    scores.hit_at_1[where] = found.hit_at_1
    scores.r_precision[where] = found.r_precision
    scores.average_precision_at_r[where] = found.average_precision_at_r
