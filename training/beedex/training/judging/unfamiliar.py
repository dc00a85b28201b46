"""Where a photo is too unfamiliar to be of a known family: the evidence's part in it, and the threshold.

Shapes: n rows of known photos, m rows of outside ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from beedex.index.calibration import adjust_familiarity
from beedex.training.judging.rows import Rows
from beedex.training.judging.thresholds import fit_unknown, keep_rate, share_below

__all__ = ["Unfamiliar", "fit_unfamiliar"]

# What a standard deviation of the evidence counts, as against one of the familiarity's log-odds. With 0, drawn bees of
# types that were left out are told worse than by the evidence alone (AUROC 0.78 for 0.85, now 0.84), and studio photos
# a little worse than now (0.90 for 0.92); with 1, things that are no bees are told worse from wild ones (0.97 for
# 0.99).
EVIDENCE_SHARE = 0.5

# Unless a false-accept rate is asked for, at most this share of the known photos is called UNKNOWN. Where families are
# much alike, the point that parts them best refuses half of the known photos, and gains little: things that are no bees
# at all are less familiar than nine of ten known photos anyway.
MOST_UNFAMILIAR = 0.1

# Without a spread there is no weight.
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, kw_only=True)
class Unfamiliar:
    """The numbers of `beedex.index.calibration.FamiliarityThreshold`."""

    below: float
    evidence_weight: float
    usual_evidence: float

    def adjust(self, rows: Rows) -> NDArray[np.float64]:
        """Return the rows' familiarities in the light of their best evidence."""
        return adjust_familiarity(rows.familiarity, rows.best, weight=self.evidence_weight, usual=self.usual_evidence)


def fit_unfamiliar(known: Rows, outside: Rows, rate: float | None) -> Unfamiliar:
    """Fit the threshold.

    It is where known and outside photos are parted best, but not so high that more than `MOST_UNFAMILIAR` of the known
    ones are below it; without outside photos it is just there. With a rate, `keep_rate` alone decides.

    Args:
        known: n >= 1 rows that have a familiarity.
        outside: m >= 0 rows, likewise.
        rate: the share of outside photos that may be accepted; None if nothing is asked.
    """
    spread = float(known.best.std())
    weight = EVIDENCE_SHARE * float(logit(known.familiarity).std()) / spread if spread > SMALLEST_SPREAD else 0.0
    usual = float(known.best.mean())
    adjusted, others = (
        adjust_familiarity(rows.familiarity, rows.best, weight=weight, usual=usual) for rows in (known, outside)
    )
    if rate is not None and len(others):
        below = keep_rate(others, outside.weights, rate)[0]
    else:
        candidates = np.unique(adjusted)
        below = float(candidates[share_below(candidates, adjusted, known.weights) <= MOST_UNFAMILIAR][-1])
        if len(others):
            below = min(fit_unknown(adjusted, others, known.weights, outside.weights), below)
    return Unfamiliar(below=below, evidence_weight=weight, usual_evidence=usual)
