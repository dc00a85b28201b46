"""The family decision: neighbors -> evidence by family -> probabilities -> verdict.

A family's evidence is the mean similarity of its nearest photos, at most `PHOTOS_OF_EVIDENCE` of them: one mislabeled
photo doesn't decide, and a family of 300 photos has no more votes than one of three. A softmax at a temperature fitted
on held-out photos turns evidence into probabilities. The verdict is UNKNOWN when even the best family's evidence is
below what photos of families outside the gallery reach, MATCH when the best probability is high enough, and AMBIGUOUS,
naming the two or three families in question, otherwise. One probability parts MATCH from AMBIGUOUS, one similarity
parts both from UNKNOWN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from beedex.index.figure import Figure

__all__ = [
    "EVIDENCE_NEIGHBORS",
    "PHOTOS_OF_EVIDENCE",
    "UNCALIBRATED_MATCH_FROM",
    "UNCALIBRATED_TEMPERATURE",
    "Calibration",
    "Decision",
    "FamilyScore",
    "Verdict",
    "decide",
    "soften",
    "weigh_families",
]

# How many neighbors `decide` wants to see; families that are not among them are farther than all of these.
EVIDENCE_NEIGHBORS = 200

# Nearest photos of a family whose mean similarity is its evidence.
PHOTOS_OF_EVIDENCE = 3

# What an embedder without a calibration is read with: a difference of 0.1 in cosine is then odds of 7 to 1. It ranks
# families rightly; its probabilities are not to be relied on, and every reply says so.
UNCALIBRATED_TEMPERATURE = 0.05
UNCALIBRATED_MATCH_FROM = 0.5

# AMBIGUOUS names at most this many families; with more of them in question it names the likeliest.
MOST_CANDIDATES = 3

# A third family is in question only if it is at least so likely, as a share of the likeliest's probability.
IN_QUESTION_FROM = 0.05


class Verdict(StrEnum):
    """What an identification comes to."""

    MATCH = "MATCH"
    AMBIGUOUS = "AMBIGUOUS"
    UNKNOWN = "UNKNOWN"


class Calibration(BaseModel):
    """How similarities are read, fitted on photos that the head was not trained on.

    Every figure with an interval is cross-fitted: each photo is read by a temperature and thresholds that photos of
    other groups set, so that it is what new photos get. Its interval is drawn by group.

    Attributes:
        temperature: cosine difference that makes odds of e to 1; above 0.
        match_from: probability from which one family is named: MATCH. It is AMBIGUOUS's threshold too: a photo that is
            not UNKNOWN and stays below it could be of two or three families. Fitted so that nine of ten MATCHes are
            right; 1 where no probability makes them so; None means `UNCALIBRATED_MATCH_FROM`.
        unknown_below: evidence (cosine) of the best family below which a photo is UNKNOWN, of no family of the
            gallery; None for no threshold.
        held_out_photos: how many known photos it was fitted on.
        held_out_groups: of how many groups these are.
        outside_photos: how many photos stood for unknown families (leave-one-family-out).
        outside_groups: of how many groups these are.
        target_false_accept_rate: the false-accept rate that `unknown_below` was asked to keep; None where it parts
            known photos from outside ones best (Youden's J).
        false_accept_rate: share of the outside photos that still get a family named or suggested.
        false_reject_rate: share of the held-out photos that come out UNKNOWN. Both rates are on the photos that the
            threshold was fitted on, and so a little better than on new ones.
        unseen_false_accept_rate: the first, cross-fitted. It is an average over the families left out: photos of
            another family, nearer to those of the gallery or farther, may fare otherwise.
        unseen_false_reject_rate: the second, cross-fitted.
        match_precision: share of MATCHes that are right; None where there is no MATCH.
        match_share: share of the held-out photos that get a MATCH.
        calibration_error: expected calibration error of the best family's probability; see
            `reliability.estimate_calibration_error`.
        open_set_auroc: how often the best evidence of a known photo is above that of an outside one: 1 parts them
            all, 0.5 none. It depends on no threshold.
        note: in words, how it was fitted, or why a threshold is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(gt=0)
    match_from: float | None = Field(default=None, ge=0, le=1)
    unknown_below: float | None = Field(default=None, ge=-1, le=1)
    held_out_photos: int = 0
    held_out_groups: int = 0
    outside_photos: int = 0
    outside_groups: int = 0
    target_false_accept_rate: float | None = None
    false_accept_rate: float | None = None
    false_reject_rate: float | None = None
    unseen_false_accept_rate: Figure | None = None
    unseen_false_reject_rate: Figure | None = None
    match_precision: Figure | None = None
    match_share: Figure | None = None
    calibration_error: Figure | None = None
    open_set_auroc: Figure | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyScore:
    """One family's part in a decision.

    Attributes:
        family: the label.
        probability: in [0, 1]; over all families they sum to 1.
        similarity: the family's evidence, a cosine in [-1, 1].
    """

    family: str
    probability: float
    similarity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a photo is, and how sure that is.

    Attributes:
        verdict: MATCH, AMBIGUOUS or UNKNOWN.
        family: the family, for MATCH only.
        probability: of the likeliest family, whatever the verdict.
        families: every family of the index, likeliest first.
        candidates: the family of a MATCH, the two or three of AMBIGUOUS, none of UNKNOWN.
        reason: one sentence for a person.
    """

    verdict: Verdict
    family: str | None
    probability: float
    families: tuple[FamilyScore, ...]
    candidates: tuple[str, ...]
    reason: str


def weigh_families(
    similarities: NDArray[np.float32], families: Sequence[str], sizes: Mapping[str, int]
) -> NDArray[np.float64]:
    """Return each known family's evidence.

    Args:
        similarities: (K,) cosines of the neighbors, descending.
        families: (K,) the neighbors' families, in the same order.
        sizes: (F,) how many photos each family of the index has, at least 1.

    Returns:
        (F,) mean cosine of each family's nearest photos. Of a family with fewer than `PHOTOS_OF_EVIDENCE` photos among
        the K, and more outside them, those outside count with the K-th similarity, the most that they can have.

    Example:
        >>> near, theirs = np.array([0.9, 0.7, 0.6, 0.5], np.float32), ["mason", "mason", "mason", "honey"]
        >>> weigh_families(near, theirs, {"honey": 1, "mason": 3, "mining": 5}).round(2)
        array([0.5 , 0.73, 0.5 ])
    """
    own: dict[str, list[float]] = {family: [] for family in sizes}
    for similarity, family in zip(similarities.tolist(), families, strict=True):
        if len(own[family]) < PHOTOS_OF_EVIDENCE:
            own[family].append(similarity)
    farthest = float(similarities[-1])
    evidence = np.empty(len(sizes))
    for i, (family, size) in enumerate(sizes.items()):
        outside = min(size, PHOTOS_OF_EVIDENCE) - len(own[family])
        evidence[i] = np.mean([*own[family], *[farthest] * outside])
    return evidence


def decide(
    similarities: NDArray[np.float32],
    families: Sequence[str],
    *,
    sizes: Mapping[str, int],
    calibration: Calibration | None,
) -> Decision:
    """Turn neighbors into a decision.

    Args:
        similarities: (K,) cosines of the nearest entries, descending, K >= 1; `EVIDENCE_NEIGHBORS` of them, or all
            there are.
        families: (K,) the neighbors' families.
        sizes: how many photos each family of the index has.
        calibration: the embedder's; None reads with stated defaults and without an UNKNOWN.

    Raises:
        ValueError: there is no neighbor, or the arguments disagree in length.
    """
    if len(similarities) == 0 or len(similarities) != len(families):
        raise ValueError(
            f"a decision needs neighbors with one family each, expected equal lengths of at least 1, "
            f"received {len(similarities)} similarities and {len(families)} families"
        )
    evidence = weigh_families(similarities, families, sizes)
    temperature = calibration.temperature if calibration else UNCALIBRATED_TEMPERATURE
    probabilities = soften(evidence, temperature)
    names = tuple(sizes)
    order = np.lexsort((np.arange(len(evidence)), -probabilities))
    scores = tuple(
        FamilyScore(family=names[i], probability=float(probabilities[i]), similarity=float(evidence[i]))
        for i in map(int, order)
    )
    return _judge(scores, calibration)


def soften(evidence: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the softmax of *evidence* / *temperature* over the last axis."""
    scaled = (evidence - evidence.max(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    normalized: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalized


def _judge(scores: tuple[FamilyScore, ...], calibration: Calibration | None) -> Decision:
    best = scores[0]
    unknown_below = calibration.unknown_below if calibration else None
    match_from = calibration.match_from if calibration else None
    threshold = UNCALIBRATED_MATCH_FROM if match_from is None else match_from
    caveat = "" if match_from is not None else " (no threshold was fitted: too few held-out photos)"
    if match_from is not None and unknown_below is None:
        caveat = " (photos of unknown families can't be told: no threshold was fitted)"
    if unknown_below is not None and best.similarity < unknown_below:
        verdict, candidates = Verdict.UNKNOWN, tuple[str, ...]()
        reason = (
            f"nothing in the gallery is near: the best family, {best.family}, has similarity {best.similarity:.2f}, "
            f"below {unknown_below:.2f}"
        )
    elif best.probability >= threshold or len(scores) == 1:
        verdict, candidates = Verdict.MATCH, (best.family,)
        reason = f"{best.family} with probability {best.probability:.2f}{caveat}"
    else:
        verdict, candidates = Verdict.AMBIGUOUS, _name_candidates(scores, threshold)
        named = " or ".join(f"{score.family} {score.probability:.2f}" for score in scores[: len(candidates)])
        reason = f"no family reaches {threshold:.2f}: {named}{caveat}"
    return Decision(
        verdict=verdict,
        family=best.family if verdict is Verdict.MATCH else None,
        probability=best.probability,
        families=scores,
        candidates=candidates,
        reason=reason,
    )


def _name_candidates(scores: Sequence[FamilyScore], threshold: float) -> tuple[str, ...]:
    """Return the likeliest families that together reach *threshold*, two or three, and none that is out of question."""
    together = np.cumsum([score.probability for score in scores])
    enough = int(np.searchsorted(together, threshold)) + 1
    likely = sum(score.probability >= IN_QUESTION_FROM * scores[0].probability for score in scores)
    return tuple(score.family for score in scores[: max(min(enough, likely, MOST_CANDIDATES), 2)])
