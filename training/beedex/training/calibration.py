"""Fitting how similarities are read: temperature, and the thresholds of MATCH and UNKNOWN.

All of it is fitted on photos that the head at hand was not trained on (see `crossvalidation`): similarities between
training photos are far higher, and thresholds fitted on them would refuse every new photo.

Shapes: N held-out photos, M photos of left-out families, F families.
"""

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import Calibration, soften

__all__ = ["fit_calibration"]

# Below these a threshold would be a guess: with 30 photos an observed rate of 0.9 has a 95 % interval of 0.74 to 0.97.
FEWEST_HELD_OUT = 30
FEWEST_OUTSIDE = 30

# A MATCH is to be right this often, among held-out photos.
MATCH_PRECISION = 0.9

# Temperatures tried, in cosine: from a winner-takes-all reading to one that hardly tells families apart.
TEMPERATURES = np.geomspace(0.005, 2.0, 400)


def fit_calibration(
    evidence: NDArray[np.float64], labels: NDArray[np.int64], outside_evidence: NDArray[np.float64]
) -> Calibration:
    """Fit a calibration on held-out evidence.

    The temperature minimises the negative log-likelihood of the right families (Guo et al. 2017, section 4.2,
    https://arxiv.org/abs/1706.04599). MATCH begins at the lowest probability above which `MATCH_PRECISION` of the
    held-out photos are right. UNKNOWN begins where the share of outside photos caught, less the share of known photos
    lost, is largest (Youden's J).

    Args:
        evidence: (N, F) of held-out photos of known families; rows with NaN don't count.
        labels: (N,) columns of the right families.
        outside_evidence: (M,) best evidence of photos whose family was left out.
    """
    whole = ~np.isnan(evidence).any(axis=1)
    evidence, labels = evidence[whole], labels[whole]
    if len(evidence) < FEWEST_HELD_OUT:
        return Calibration(
            temperature=_fit_temperature(evidence, labels) if len(evidence) else 0.05,
            held_out_photos=len(evidence),
            outside_photos=len(outside_evidence),
            note=f"no thresholds: {len(evidence)} held-out photos, {FEWEST_HELD_OUT} are needed",
        )
    temperature = _fit_temperature(evidence, labels)
    match_from = _fit_match(soften(evidence, temperature), labels)
    fitted = f"fitted on {len(evidence)} held-out photos"
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
    rows = np.arange(len(labels))
    losses = [-np.log(soften(evidence, t)[rows, labels] + 1e-300).mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _fit_match(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    order = np.argsort(-best, kind="stable")
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(precision >= MATCH_PRECISION)
    # Where no probability is high enough, only certainty is a MATCH; two photos are no evidence of precision.
    if len(reached) == 0 or reached[-1] < 4:
        return 1.0
    return float(best[order[reached[-1]]])


def _fit_unknown(known: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    candidates = np.unique(np.concatenate([known, outside]))
    caught = np.searchsorted(np.sort(outside), candidates, side="left") / len(outside)
    lost = np.searchsorted(np.sort(known), candidates, side="left") / len(known)
    return float(np.clip(candidates[int(np.argmax(caught - lost))], -1.0, 1.0))
