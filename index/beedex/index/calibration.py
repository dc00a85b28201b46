"""What reads similarities and familiarities: numbers fitted at training, and what they are worth."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from beedex.index.figure import Figure

__all__ = ["Calibration", "FamiliarityThreshold", "adjust_familiarity"]


class FamiliarityThreshold(BaseModel):
    """Where a photo is too unlike the training photos to be of their families; see `beedex.index.familiarity`.

    Held-out photos and those of left-out families are measured by fits that never saw them. Figures are cross-fitted.

    The evidence has a part in it: features tell best what is no bee at all, and the vector may tell types of bees apart
    that are alike in their features (`tests/benchmarks/decisions.py`).

    Attributes:
        unfamiliar_below: adjusted familiarity below which a photo is UNKNOWN.
        evidence_weight: of the evidence, in log-odds of familiarity by cosine.
        usual_evidence: of known photos, with which a familiarity stays as it is.
        false_reject_rate: share of the held-out photos that come out UNKNOWN.
        false_accept_rate: share of the photos of left-out families that don't; None where too few were left out.
        open_set_auroc: how often a held-out photo is more familiar than one of a left-out family; None likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unfamiliar_below: float = Field(ge=0, le=1)
    evidence_weight: float = Field(default=0.0, ge=0)
    usual_evidence: float = Field(default=0.0, ge=-1, le=1)
    false_reject_rate: Figure
    false_accept_rate: Figure | None = None
    open_set_auroc: Figure | None = None

    def adjust(self, familiarity: float, evidence: float) -> float:
        """Return a photo's familiarity, in [0, 1], in the light of its best family's evidence."""
        adjusted = adjust_familiarity(
            np.array([familiarity]), np.array([evidence]), weight=self.evidence_weight, usual=self.usual_evidence
        )
        return float(adjusted[0])


def adjust_familiarity(
    familiarity: NDArray[np.float64], evidence: NDArray[np.float64], *, weight: float, usual: float
) -> NDArray[np.float64]:
    """Return (n,) familiarities whose log-odds are raised by *weight* times the evidence (n,) above the *usual* one.

    Example:
        >>> adjust_familiarity(np.array([0.5, 0.5]), np.array([0.9, 0.4]), weight=2.0, usual=0.9).round(2)
        array([0.5 , 0.27])
    """
    # By the odds themselves: a server would start a fifth of a second later with the log-odds of scipy.
    odds_against = (1 - familiarity) / familiarity * np.exp(-weight * (evidence - usual))
    adjusted: NDArray[np.float64] = 1 / (1 + odds_against)
    return adjusted


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
        match_precision: share of MATCHes that are right; None where there is no MATCH. Photos count as UNKNOWN by
            *familiarity* where there is one, and otherwise by *unknown_below*.
        match_share: share of the held-out photos that get a MATCH, likewise.
        calibration_error: expected calibration error of the best family's probability; see
            `reliability.estimate_calibration_error`.
        open_set_auroc: how often the best evidence of a known photo is above that of an outside one: 1 parts them
            all, 0.5 none. It depends on no threshold.
        familiarity: where UNKNOWN begins for photos; None for vectors and photos alike to be judged by
            *unknown_below*.
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
    familiarity: FamiliarityThreshold | None = None
    note: str = ""
