"""Fitting how similarities are read, and measuring on other photos how well that goes.

All of it is fitted on photos that the head at hand was not trained on (see `crossvalidation`): similarities between
training photos are far higher, and thresholds fitted on them would refuse every new photo. How good the fit is, is
measured by cross-fitting: the groups come into five parts, and each part is read by what the other four set.

Shapes: R repeats, N held-out photos, M photos of left-out families, C families; rows are look-ups, R of each photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import UNCALIBRATED_TEMPERATURE, Calibration, soften
from beedex.index.figure import Figure
from beedex.index.metrics import estimate
from beedex.index.reliability import estimate_auroc, estimate_calibration_error
from beedex.training.folds import assign_folds
from beedex.training.judging.thresholds import (
    MATCH_PRECISION,
    count_needed_groups,
    fit_match,
    fit_temperature,
    fit_unknown,
    keep_rate,
)

__all__ = ["FEWEST_HELD_OUT", "FEWEST_OUTSIDE", "crossfit_probabilities", "fit_calibration"]

# Groups below which a threshold would be a guess: with 30 an observed rate of 0.9 has a 95 % interval of 0.74 to 0.97.
FEWEST_HELD_OUT = 30
FEWEST_OUTSIDE = 30

PARTS = 5

# A threshold that calls a larger share of the known photos UNKNOWN is said to in the note.
MOST_LOST = 0.5


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Look-ups, (n, C) of known photos or (n, 1) best of outside ones; labels are -1 for these."""

    evidence: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    photos: NDArray[np.intp]

    def take(self, chosen: NDArray[np.bool_]) -> "_Rows":
        return _Rows(
            evidence=self.evidence[chosen],
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            photos=self.photos[chosen],
        )

    @property
    def best(self) -> NDArray[np.float64]:
        best: NDArray[np.float64] = self.evidence.max(axis=1)
        return best

    @property
    def weights(self) -> NDArray[np.float64]:
        """Equal for all photos, divided among a photo's rows, and as many in all as there are groups."""
        rows_of = np.bincount(self.photos)
        shares: NDArray[np.float64] = self.count_groups() / max(self.count_photos(), 1) / rows_of[self.photos]
        return shares

    def count_groups(self) -> int:
        return len(np.unique(self.groups))

    def count_photos(self) -> int:
        return len(np.unique(self.photos))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """The three numbers; without `unknown_below` nothing is UNKNOWN."""

    temperature: float
    match_from: float
    unknown_below: float | None
    sure: bool = True


def fit_calibration(
    evidence: NDArray[np.float64],
    labels: NDArray[np.int64],
    outside_evidence: NDArray[np.float64],
    *,
    groups: Sequence[str] | None = None,
    outside_groups: Sequence[str] | None = None,
    false_accept_rate: float | None = None,
) -> Calibration:
    """Fit a calibration on held-out evidence.

    The temperature makes the right families likeliest. MATCH begins at the lowest probability above which photos are
    right often enough. UNKNOWN begins where outside photos are accepted no more often than asked or, if nothing is
    asked, where known and outside photos are parted best; see `thresholds`.

    Args:
        evidence: (N, C) or (R, N, C) of held-out photos of known families; rows with NaN don't count.
        labels: (N,) columns of the right families.
        outside_evidence: (M,) or (R, M) best evidence of photos whose family was left out; NaN doesn't count.
        groups: (N,); None where each photo is a group by itself.
        outside_groups: (M,); named as in *groups*, since the photos are the same ones.
        false_accept_rate: the share of outside photos that may get a family named or suggested, in (0, 1). The
            threshold keeps it with 90 % confidence on new photos of the families left out.

    Raises:
        ValueError: *false_accept_rate* is out of range.
    """
    if false_accept_rate is not None and not 0 < false_accept_rate < 1:
        raise ValueError(
            f"`false_accept_rate` must be above 0 and below 1, or None. Received: false_accept_rate={false_accept_rate}"
        )
    known = _gather(evidence, labels, groups)
    outside = _gather(
        np.atleast_2d(outside_evidence)[..., np.newaxis],
        np.full(outside_evidence.shape[-1], -1, dtype=np.int64),
        outside_groups if outside_groups is not None else [f"outside {i}" for i in range(outside_evidence.shape[-1])],
    )
    counts: dict[str, Any] = {
        "held_out_photos": known.count_photos(),
        "held_out_groups": known.count_groups(),
        "outside_photos": outside.count_photos(),
        "outside_groups": outside.count_groups(),
    }
    fitted_on = f"{counts['held_out_photos']} held-out photos of {counts['held_out_groups']} groups"
    if counts["held_out_groups"] < FEWEST_HELD_OUT:
        temperature = fit_temperature(known.evidence, known.labels, known.weights) if len(known.labels) else None
        return Calibration(
            temperature=temperature or UNCALIBRATED_TEMPERATURE,
            note=f"no thresholds: {fitted_on}, {FEWEST_HELD_OUT} groups are needed",
            **counts,
        )
    if counts["outside_groups"] < FEWEST_OUTSIDE:
        outside = outside.take(np.zeros(len(outside.labels), dtype=np.bool_))
    reading = _fit(known, outside, false_accept_rate)
    figures = _measure(known, outside, false_accept_rate, reading)
    return Calibration(
        temperature=reading.temperature,
        match_from=reading.match_from,
        unknown_below=reading.unknown_below,
        target_false_accept_rate=false_accept_rate if reading.unknown_below is not None else None,
        note=_put_in_words(f"fitted on {fitted_on}", counts, reading, figures, false_accept_rate),
        **counts,
        **figures,
    )


def crossfit_probabilities(
    evidence: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str]
) -> NDArray[np.float64]:
    """Return probabilities, each photo's at a temperature that photos of other groups set.

    Args:
        evidence: (N, C) or (R, N, C); rows with NaN stay so.
        labels: (N,) columns of the right families.
        groups: (N,).

    Returns:
        As *evidence*; NaN for all if there are fewer than two groups.
    """
    known = _gather(evidence, labels, groups)
    likely = np.full(known.evidence.shape, np.nan)
    for part in _part(known.labels, known.groups):
        rest = known.take(~part)
        if len(rest.labels):
            temperature = fit_temperature(rest.evidence, rest.labels, rest.weights)
            likely[part] = soften(known.evidence[part], temperature)
    probabilities = np.full((evidence.size // evidence.shape[-1], evidence.shape[-1]), np.nan)
    probabilities[~np.isnan(evidence.reshape(probabilities.shape)).any(axis=1)] = likely
    return probabilities.reshape(evidence.shape)


def _gather(evidence: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str] | None) -> _Rows:
    """Return the rows that are whole of (N, C) or (R, N, C) evidence."""
    rows = evidence.reshape(-1, evidence.shape[-1])
    photos = np.tile(np.arange(len(labels)), len(rows) // max(len(labels), 1))
    names = np.asarray([str(i) for i in range(len(labels))] if groups is None else groups, dtype=np.str_)
    whole = ~np.isnan(rows).any(axis=1)
    return _Rows(evidence=rows[whole], labels=labels[photos[whole]], groups=names[photos[whole]], photos=photos[whole])


def _part(labels: NDArray[np.int64], groups: NDArray[np.str_]) -> list[NDArray[np.bool_]]:
    if len(labels) == 0:
        return []
    part_of = assign_folds(labels, groups.tolist(), folds=PARTS, seed=0)
    return [part_of == part for part in range(PARTS) if (part_of == part).any()]


def _fit(known: _Rows, outside: _Rows, rate: float | None) -> _Reading:
    temperature = fit_temperature(known.evidence, known.labels, known.weights)
    unknown_below, sure = None, True
    if len(outside.labels) and rate is None:
        unknown_below = fit_unknown(known.best, outside.best, known.weights, outside.weights)
    elif len(outside.labels) and rate is not None:
        unknown_below, sure = keep_rate(outside.best, outside.weights, rate)
    return _Reading(
        temperature=temperature,
        match_from=fit_match(soften(known.evidence, temperature), known.labels, known.weights),
        unknown_below=unknown_below,
        sure=sure,
    )


def _measure(known: _Rows, outside: _Rows, rate: float | None, reading: _Reading) -> dict[str, Any]:
    """Return what `Calibration` says of rates and figures, where there are any."""
    likely, accepted = np.full(known.evidence.shape, np.nan), np.full(len(outside.labels), np.nan)
    rejected, matched = np.full(len(known.labels), np.nan), np.full(len(known.labels), np.nan)
    # Groups are parted over both sides at once: the outside photos are the known ones again.
    for part in _part(np.concatenate([known.labels, outside.labels]), np.concatenate([known.groups, outside.groups])):
        of_known, of_outside = part[: len(known.labels)], part[len(known.labels) :]
        fitted = _fit(known.take(~of_known), outside.take(~of_outside), rate)
        likely[of_known] = soften(known.evidence[of_known], fitted.temperature)
        if fitted.unknown_below is not None:
            accepted[of_outside] = outside.best[of_outside] >= fitted.unknown_below
            rejected[of_known] = known.best[of_known] < fitted.unknown_below
        matched[of_known] = (likely[of_known].max(axis=1) >= fitted.match_from) & (rejected[of_known] != 1)
    right = (likely.argmax(axis=1) == known.labels).astype(np.float64)
    names = known.groups.tolist()
    figures: dict[str, Any] = {
        "match_share": estimate(matched, names),
        "match_precision": _keep_finite(estimate(np.where(matched == 1, right, np.nan), names)),
        "calibration_error": _keep_finite(estimate_calibration_error(likely, known.labels, names)),
    }
    if reading.unknown_below is None:
        return figures
    theirs = outside.groups.tolist()
    return figures | {
        "false_accept_rate": float(np.average(outside.best >= reading.unknown_below, weights=outside.weights)),
        "false_reject_rate": float(np.average(known.best < reading.unknown_below, weights=known.weights)),
        "unseen_false_accept_rate": estimate(accepted, theirs),
        "unseen_false_reject_rate": estimate(rejected, names),
        "open_set_auroc": _keep_finite(estimate_auroc(known.best, outside.best, groups=names, outside_groups=theirs)),
    }


def _keep_finite(figure: Figure) -> Figure | None:
    """Return *figure*, None where there is none: NaN has no place in a JSON document."""
    return figure if np.isfinite(figure.value) else None


def _put_in_words(
    fitted: str, counts: dict[str, Any], reading: _Reading, figures: dict[str, Any], rate: float | None
) -> str:
    words = [fitted]
    if reading.unknown_below is not None:
        words[0] += f" and {counts['outside_photos']} photos of families left out of training"
    if reading.match_from >= 1:
        words.append(f"no known photo is certain enough for a MATCH that is right {MATCH_PRECISION:.0%} of the time")
    if reading.unknown_below is None:
        words.append(
            f"no threshold for UNKNOWN: it takes three families and photos of {FEWEST_OUTSIDE} groups, "
            f"received {counts['outside_photos']} photos of {counts['outside_groups']} groups"
        )
        return "; ".join(words)
    if not reading.sure and rate is not None:
        words.append(
            f"{counts['outside_groups']} groups can't show a false-accept rate of {rate:.2g}, it takes "
            f"{count_needed_groups(rate)}: the UNKNOWN threshold is above all of them"
        )
    lost = figures["false_reject_rate"]
    if lost > MOST_LOST:
        goal = "to part known from outside photos" if rate is None else f"to keep a false-accept rate of {rate:.2g}"
        words.append(f"{goal}, {lost:.0%} of known photos come out UNKNOWN")
    return "; ".join(words)
