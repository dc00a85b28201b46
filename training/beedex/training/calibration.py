"""Fitting how similarities are read: temperature, and the thresholds of MATCH and UNKNOWN.

All of it is fitted on photos that the head at hand was not trained on (see `crossvalidation`): similarities between
training photos are far higher, and thresholds fitted on them would refuse every new photo.

Shapes: N held-out photos, M photos of left-out families, F families.
"""

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import UNCALIBRATED_MATCH_FROM, UNCALIBRATED_TEMPERATURE, Calibration, soften

__all__ = ["fit_calibration"]

# Below these a threshold would be a guess: with 30 photos an observed rate of 0.9 has a 95 % interval of 0.74 to 0.97.
FEWEST_HELD_OUT = 30
FEWEST_OUTSIDE = 30

# A MATCH is to be right this often. The threshold is where the lower end of Wilson's one-sided 90 % interval reaches
# it: the lowest threshold at which the observed share does is a maximum over noise, and on new photos such a MATCH was
# right 0.80 of the time when fitted on 40 photos and 0.86 on 144.
MATCH_PRECISION = 0.9
MATCH_Z = 1.28

# Temperatures tried, in cosine: from a winner-takes-all reading to one that hardly tells families apart.
TEMPERATURES = np.geomspace(0.005, 2.0, 400)


def fit_calibration(
    evidence: NDArray[np.float64], labels: NDArray[np.int64], outside_evidence: NDArray[np.float64]
) -> Calibration:
    """Fit a calibration on held-out evidence.

    The temperature minimises the negative log-likelihood of the right families (Guo et al. 2017, section 4.2,
    https://arxiv.org/abs/1706.04599), smoothed as Platt does it, so that a gallery without an error doesn't end in
    certainty. MATCH begins at the lowest probability above which photos are right often enough. UNKNOWN begins where
    the share of outside photos caught, less the share of known photos lost, is largest (Youden's J).

    Args:
        evidence: (N, F) of held-out photos of known families; rows with NaN don't count.
        labels: (N,) columns of the right families.
        outside_evidence: (M,) best evidence of photos whose family was left out.
    """
    whole = ~np.isnan(evidence).any(axis=1)
    evidence, labels = evidence[whole], labels[whole]
    if len(evidence) < FEWEST_HELD_OUT:
        return Calibration(
            temperature=_fit_temperature(evidence, labels) if len(evidence) else UNCALIBRATED_TEMPERATURE,
            held_out_photos=len(evidence),
            outside_photos=len(outside_evidence),
            note=f"no thresholds: {len(evidence)} held-out photos, {FEWEST_HELD_OUT} are needed",
        )
    temperature = _fit_temperature(evidence, labels)
    match_from = _fit_match(soften(evidence, temperature), labels)
    fitted = f"fitted on {len(evidence)} held-out photos"
    if match_from >= 1:
        fitted += f", of which none are certain enough for a MATCH that is right {MATCH_PRECISION:.0%} of the time"
    if len(outside_evidence) < FEWEST_OUTSIDE:
        return Calibration(
            temperature=temperature,
            match_from=match_from,
            held_out_photos=len(evidence),
            outside_photos=len(outside_evidence),
            note=f"{fitted}; no threshold for UNKNOWN: it takes three families and {FEWEST_OUTSIDE} photos",
        )
    best = evidence.max(axis=1)
    unknown_below = _fit_unknown(best, outside_evidence)
    return Calibration(
        temperature=temperature,
        match_from=match_from,
        unknown_below=unknown_below,
        held_out_photos=len(evidence),
        outside_photos=len(outside_evidence),
        false_accept_rate=float((outside_evidence >= unknown_below).mean()),
        false_reject_rate=float((best < unknown_below).mean()),
        note=f"{fitted} and {len(outside_evidence)} photos of families left out of training",
    )


def _fit_temperature(evidence: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    count, families = evidence.shape
    slack = 1 / (count + 2)
    targets = np.full((count, families), slack / max(families - 1, 1))
    targets[np.arange(count), labels] = 1 - slack
    losses = [-(targets * np.log(soften(evidence, t) + 1e-300)).sum(axis=1).mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _fit_match(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    best = probabilities.max(axis=1)
    order = np.argsort(-best, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order])
    counts = np.arange(1, len(order) + 1)
    reached = np.flatnonzero(_bound_from_below(right / counts, counts) >= MATCH_PRECISION)
    if len(reached) == 0:
        return 1.0
    # Photos less certain than any that were seen are no reason to demand certainty.
    return float(best[order[reached[-1]]]) if reached[-1] < len(order) - 1 else UNCALIBRATED_MATCH_FROM


def _bound_from_below(shares: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the lower ends of Wilson's intervals (https://doi.org/10.1080/01621459.1927.10502953)."""
    z2 = MATCH_Z**2
    spread = MATCH_Z * np.sqrt(shares * (1 - shares) / counts + z2 / (4 * counts**2))
    return (shares + z2 / (2 * counts) - spread) / (1 + z2 / counts)


def _fit_unknown(known: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    candidates = np.unique(np.concatenate([known, outside]))
    caught = np.searchsorted(np.sort(outside), candidates, side="left") / len(outside)
    lost = np.searchsorted(np.sort(known), candidates, side="left") / len(known)
    return float(np.clip(candidates[int(np.argmax(caught - lost))], -1.0, 1.0))
