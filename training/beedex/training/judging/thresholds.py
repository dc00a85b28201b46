"""The three numbers that read similarities: temperature, and where MATCH and UNKNOWN begin.

Each row is one look-up of a photo. Rows carry weights that sum to the number of *groups* looked up: photos of one group
and repeats of one photo say little more than one photo, and confidence is to rest on what is independent.

Shapes: N rows of known photos, M rows of photos of left-out families, C families.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv, log_softmax

from beedex.index.decision import UNCALIBRATED_MATCH_FROM

__all__ = [
    "MATCH_PRECISION",
    "count_needed_groups",
    "fit_match",
    "fit_temperature",
    "fit_unknown",
    "keep_rate",
    "share_below",
]

# A MATCH is to be right this often. The threshold is where the lower end of Wilson's one-sided 90 % interval reaches
# it: the lowest threshold at which the observed share does is a maximum over noise, and on new photos such a MATCH was
# right 0.80 of the time when fitted on 40 photos and 0.86 on 144.
MATCH_PRECISION = 0.9
MATCH_Z = 1.28

# A false-accept rate is kept with this confidence.
RATE_CONFIDENCE = 0.9

# Temperatures considered, in cosine: from a winner-takes-all reading to one that hardly tells families apart.
COLDEST, HOTTEST = 0.005, 2.0


def fit_temperature(evidence: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """Return the temperature under which the right families are likeliest (Guo et al. 2017, section 4.2).

    The likelihood is smoothed as Platt does it, so that a gallery without an error doesn't end in certainty. It is
    convex in 1 / temperature, so that there is one minimum (https://arxiv.org/abs/1706.04599).

    Args:
        evidence: (N, C), at least one row.
        labels: (N,) columns of the right families.
        weights: (N,) of the rows.
    """
    count, families = evidence.shape
    slack = 1 / (weights.sum() + 2)
    targets = np.full((count, families), slack / max(families - 1, 1))
    targets[np.arange(count), labels] = 1 - slack

    def measure_loss(log_temperature: float) -> float:
        likelihoods = (targets * log_softmax(evidence / np.exp(log_temperature), axis=1)).sum(axis=1)
        return -float(np.average(likelihoods, weights=weights))

    found = minimize_scalar(measure_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def fit_match(probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """Return the lowest probability from which photos are right `MATCH_PRECISION` of the time; 1 if there is none.

    Args:
        probabilities: (N, C).
        labels: (N,) columns of the right families.
        weights: (N,) of the rows.
    """
    best = probabilities.max(axis=1)
    order = np.argsort(-best, kind="stable")
    counts = np.cumsum(weights[order])
    right = np.cumsum((weights * (probabilities.argmax(axis=1) == labels))[order])
    last_of_its_value = np.append(np.diff(best[order]) != 0, [True])
    reached = np.flatnonzero(last_of_its_value & (_bound_from_below(right / counts, counts) >= MATCH_PRECISION))
    if len(reached) == 0:
        return 1.0
    # Photos less certain than any that were seen are no reason to demand certainty.
    return float(best[order[reached[-1]]]) if reached[-1] < len(order) - 1 else UNCALIBRATED_MATCH_FROM


def fit_unknown(
    known: NDArray[np.float64],
    outside: NDArray[np.float64],
    known_weights: NDArray[np.float64],
    outside_weights: NDArray[np.float64],
) -> float:
    """Return the evidence that parts known photos from outside ones best: Youden's J.

    That is where the share of outside photos below it, less the share of known photos below it, is largest.

    Args:
        known: (N,) best evidence.
        outside: (M,) best evidence.
        known_weights: (N,) of the rows.
        outside_weights: (M,) of the rows.
    """
    candidates = np.unique(np.concatenate([known, outside]))
    caught = share_below(candidates, outside, outside_weights)
    lost = share_below(candidates, known, known_weights)
    return float(np.clip(candidates[int(np.argmax(caught - lost))], -1.0, 1.0))


def keep_rate(outside: NDArray[np.float64], weights: NDArray[np.float64], rate: float) -> tuple[float, bool]:
    """Return the lowest evidence at which outside photos are accepted no more often than *rate*, and if that is sure.

    The upper end of Clopper and Pearson's one-sided 90 % interval keeps the rate: at a threshold just above one of the
    outside photos, the share of new ones beyond it has exactly that beta distribution
    (https://doi.org/10.1093/biomet/26.4.404), so that of a hundred galleries ninety keep it on new photos of the
    same families.

    Args:
        outside: (M,) best evidence.
        weights: (M,) of the rows.
        rate: in (0, 1).

    Returns:
        The threshold. Where there are too few groups to be sure of so low a rate, it is above all of them, and false;
        see `count_needed_groups`.
    """
    thresholds = np.nextafter(np.unique(outside), np.inf)
    total = weights.sum()
    accepted = total * (1 - share_below(thresholds, outside, weights))
    kept = np.flatnonzero(betaincinv(accepted + 1, np.maximum(total - accepted, 1e-9), RATE_CONFIDENCE) <= rate)
    chosen = thresholds[kept[0]] if len(kept) else thresholds[-1]
    return float(np.clip(chosen, -1.0, 1.0)), len(kept) > 0


def count_needed_groups(rate: float) -> int:
    """Return how many outside groups it takes to be sure of *rate*, if none of them is accepted.

    Example:
        >>> count_needed_groups(0.1), count_needed_groups(0.01)
        (22, 230)
    """
    return int(np.ceil(np.log(1 - RATE_CONFIDENCE) / np.log(1 - rate)))


def _bound_from_below(shares: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower ends of Wilson's intervals (https://doi.org/10.1080/01621459.1927.10502953)."""
    z2 = MATCH_Z**2
    spread = MATCH_Z * np.sqrt(np.maximum(shares * (1 - shares), 0) / counts + z2 / (4 * counts**2))
    return (shares + z2 / (2 * counts) - spread) / (1 + z2 / counts)


def share_below(
    thresholds: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, for each threshold, the share of the weight on values below it."""
    order = np.argsort(values, kind="stable")
    cumulated = np.append(0.0, np.cumsum(weights[order]))
    shares: NDArray[np.float64] = cumulated[np.searchsorted(values[order], thresholds, side="left")] / cumulated[-1]
    return shares
