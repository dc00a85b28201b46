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
from beedex.training.fit import FitConfig, fit_head
from beedex.training.folds import assign_folds
from beedex.training.model import HeadShape

__all__ = ["CrossValidation", "LabelledFeatures", "cross_validate"]

FOLDS = 5

# More families than this are left out several at a time, so that their number doesn't set the training time.
OUTSIDE_HEADS = 6


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
        folds: how many sets.
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
        data: the whole gallery; every family needs two groups.
        shape: of the heads.
        config: of their training; its seed also draws the folds.
        advance: called with 1 for each trained head; see `count_heads`.
    """
    count = len(data.labels)
    trained, frozen = _empty_scores(count), _empty_scores(count)
    evidence = np.full((count, len(data.families)), np.nan)
    chances = np.full(count, np.nan)
    for held_out in _split(data, seed=config.seed):
        known, queries = data.take(~held_out), data.take(held_out)
        similarities = _embed_and_compare(known, queries, shape, config)
        _store(trained, held_out, score_retrieval(similarities, queries.labels, known.labels))
        raw = queries.features[:, 0] @ known.features[:, 0].T
        _store(frozen, held_out, score_retrieval(raw, queries.labels, known.labels))
        chances[held_out] = chance_recall_at_1(queries.labels, known.labels)
        evidence[held_out] = _weigh(similarities, known)
        advance(1)
    outside = [_weigh_outsiders(data, left_out, shape, config, advance) for left_out in _leave_out_families(data)]
    return CrossValidation(
        folds=FOLDS,
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
    known, queries = data.take(~outside), data.take(outside)
    similarities = _embed_and_compare(known, queries, shape, config)
    advance(1)
    best: NDArray[np.float64] = np.nanmax(_weigh(similarities, known), axis=1)
    return best


def _embed_and_compare(
    known: LabelledFeatures, queries: LabelledFeatures, shape: HeadShape, config: FitConfig
) -> NDArray[np.float32]:
    head = fit_head(known.features, known.labels, known.groups, shape, config)
    return head.embed(queries.features[:, 0]) @ head.embed(known.features[:, 0]).T


def _weigh(similarities: NDArray[np.float32], known: LabelledFeatures) -> NDArray[np.float64]:
    """Return (Q, F) evidence, NaN for the families that *known* has no photo of."""
    present = np.unique(known.labels)
    names = [known.families[label] for label in present]
    evidence = np.full((len(similarities), len(known.families)), np.nan)
    for row, of_query in zip(evidence, similarities, strict=True):
        nearest = np.argsort(-of_query, kind="stable")[:EVIDENCE_NEIGHBORS]
        of_family = [known.families[label] for label in known.labels[nearest]]
        row[present] = weigh_families(of_query[nearest], of_family, names)
    return evidence


def _empty_scores(count: int) -> RetrievalScores:
    return RetrievalScores(np.full(count, np.nan), np.full(count, np.nan))


def _store(scores: RetrievalScores, where: NDArray[np.bool_], found: RetrievalScores) -> None:
    scores.hit_at_1[where] = found.hit_at_1
    scores.average_precision_at_r[where] = found.average_precision_at_r
