"""The family decision: neighbors -> evidence by family -> probabilities -> verdict.

A family's evidence is the mean similarity of its nearest photos, at most `PHOTOS_OF_EVIDENCE` of them: one mislabeled
photo doesn't decide, and a family of 300 photos has no more votes than one of three. A softmax at a temperature fitted
on held-out photos turns evidence into probabilities. `tests/benchmarks/decisions.py` compares that with votes, means of
families and more: on field and studio photos no other rule is shown to name more of them rightly or to give the right
families better probabilities, and votes of the nearest ten lose the families of three or four photos. On drawn bees a
Gaussian gives better probabilities; on the others it gives worse ones.

The verdict is UNKNOWN when a photo is less familiar than nearly all held-out photos, its evidence considered (see
`familiarity` and `calibration`), or, where its vector alone is known, when even the best family's evidence is below
what photos of families outside the gallery reach. It is MATCH when the best probability is high enough, and AMBIGUOUS,
naming the two or three families in question, otherwise. One probability parts MATCH from AMBIGUOUS, one familiarity or
similarity parts both from UNKNOWN.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from beedex.index.calibration import Calibration

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
    unfilled = dict(own)
    for similarity, family in zip(similarities.tolist(), families, strict=True):
        nearest = unfilled.get(family)
        if nearest is not None:
            nearest.append(similarity)
            if len(nearest) == PHOTOS_OF_EVIDENCE:
                del unfilled[family]
                if not unfilled:
                    break
    farthest = float(similarities[-1])
    evidence = np.empty(len(sizes))
    for i, (family, size) in enumerate(sizes.items()):
        nearest = own[family]
        outside = min(size, PHOTOS_OF_EVIDENCE) - len(nearest)
        # Of three numbers np.mean takes 5 us, where a search takes 10.
        evidence[i] = sum(nearest + [farthest] * outside) / (len(nearest) + outside)
    return evidence


def decide(
    similarities: NDArray[np.float32],
    families: Sequence[str],
    *,
    sizes: Mapping[str, int],
    calibration: Calibration | None,
    familiarity: float | None = None,
    untrained: Collection[str] = (),
) -> Decision:
    """Turn neighbors into a decision.

    Args:
        similarities: (K,) cosines of the nearest entries, descending, K >= 1; `EVIDENCE_NEIGHBORS` of them, or all
            there are.
        families: (K,) the neighbors' families.
        sizes: how many photos each family of the index has.
        calibration: the embedder's; None reads with stated defaults and without an UNKNOWN.
        familiarity: of the photo, in (0, 1]; None where only its vector is known.
        untrained: families of the index that the embedder wasn't trained on. Where the likeliest is one of them, the
            photo may be unlike the training photos and yet have its like in the index: its evidence decides.

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
    rows = zip(sizes, soften(evidence, temperature).tolist(), evidence.tolist(), strict=True)
    # Equally likely ones stay in the order of their names.
    ranked = sorted(rows, key=lambda row: -row[1])
    scores = tuple(
        [
            FamilyScore(family=family, probability=probability, similarity=similarity)
            for family, probability, similarity in ranked
        ]
    )
    return _judge(scores, calibration, None if scores[0].family in untrained else familiarity)


def soften(evidence: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the softmax of *evidence* / *temperature* over the last axis."""
    scaled = (evidence - evidence.max(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    normalized: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalized


def _judge(scores: tuple[FamilyScore, ...], calibration: Calibration | None, familiarity: float | None) -> Decision:
    best = scores[0]
    match_from = calibration.match_from if calibration else None
    threshold = UNCALIBRATED_MATCH_FROM if match_from is None else match_from
    caveat = _qualify(calibration, familiarity)
    foreign = _find_foreign(best, calibration, familiarity)
    if foreign:
        verdict, candidates = Verdict.UNKNOWN, tuple[str, ...]()
        reason = f"{foreign}{caveat}"
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


def _find_foreign(best: FamilyScore, calibration: Calibration | None, familiarity: float | None) -> str | None:
    """Say why a photo is of no family of the gallery, if it is of none."""
    if calibration is None:
        return None
    if calibration.familiarity is not None and familiarity is not None:
        least = calibration.familiarity.unfamiliar_below
        adjusted = calibration.familiarity.adjust(familiarity, best.similarity)
        if adjusted >= least:
            return None
        return (
            f"the photo is unlike those that the embedder was trained on: its familiarity is {adjusted:.2f}, below "
            f"{least:.2f}; the best family, {best.family}, has similarity {best.similarity:.2f}"
        )
    least_evidence = calibration.unknown_below
    if least_evidence is None or best.similarity >= least_evidence:
        return None
    return (
        f"nothing in the gallery is near: the best family, {best.family}, has similarity {best.similarity:.2f}, "
        f"below {least_evidence:.2f}"
    )


def _qualify(calibration: Calibration | None, familiarity: float | None) -> str:
    """Say what the verdict lacks."""
    if calibration is None or calibration.match_from is None:
        return " (no threshold was fitted: too few held-out photos)"
    if calibration.familiarity is not None:
        return "" if familiarity is not None else " (whether its family is known was judged by the vector alone)"
    if calibration.unknown_below is None:
        return " (photos of unknown families can't be told: no threshold was fitted)"
    return ""


def _name_candidates(scores: Sequence[FamilyScore], threshold: float) -> tuple[str, ...]:
    """Return the likeliest families that together reach *threshold*, two or three, and none that is out of question."""
    together = np.cumsum([score.probability for score in scores])
    enough = int(np.searchsorted(together, threshold)) + 1
    likely = sum(score.probability >= IN_QUESTION_FROM * scores[0].probability for score in scores)
    return tuple(score.family for score in scores[: max(min(enough, likely, MOST_CANDIDATES), 2)])
