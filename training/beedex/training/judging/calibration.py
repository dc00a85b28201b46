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

from beedex.index.calibration import Calibration, FamiliarityThreshold
from beedex.index.decision import UNCALIBRATED_TEMPERATURE, soften
from beedex.index.figure import Figure
from beedex.index.metrics import estimate
from beedex.index.reliability import estimate_auroc, estimate_calibration_error
from beedex.training.judging.rows import Rows, gather_rows, part_rows
from beedex.training.judging.thresholds import (
    MATCH_PRECISION,
    count_needed_groups,
    fit_match,
    fit_temperature,
    fit_unknown,
    keep_rate,
)
from beedex.training.judging.unfamiliar import Unfamiliar, fit_unfamiliar

__all__ = ["FEWEST_HELD_OUT", "FEWEST_OUTSIDE", "crossfit_probabilities", "fit_calibration"]

# Groups below which a threshold would be a guess: with 30 an observed rate of 0.9 has a 95 % interval of 0.74 to 0.97.
FEWEST_HELD_OUT = 30
FEWEST_OUTSIDE = 30

# A threshold that calls a larger share of the known photos UNKNOWN is said to in the note.
MOST_LOST = 0.5


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """The numbers; without the last two nothing is UNKNOWN."""

    temperature: float
    match_from: float
    unknown_below: float | None
    unfamiliar: Unfamiliar | None
    sure: bool = True


def fit_calibration(
    evidence: NDArray[np.float64],
    labels: NDArray[np.int64],
    outside_evidence: NDArray[np.float64],
    *,
    groups: Sequence[str] | None = None,
    outside_groups: Sequence[str] | None = None,
    familiarity: NDArray[np.float64] | None = None,
    outside_familiarity: NDArray[np.float64] | None = None,
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
        familiarity: (N,) or (R, N) of the held-out photos, by fits that never saw them; None for evidence alone.
        outside_familiarity: (M,) or (R, M), by fits that never saw their families; None likewise.
        false_accept_rate: the share of outside photos that may get a family named or suggested, in (0, 1). The
            threshold keeps it with 90 % confidence on new photos of the families left out.

    Raises:
        ValueError: *false_accept_rate* is out of range.
    """
    if false_accept_rate is not None and not 0 < false_accept_rate < 1:
        raise ValueError(
            f"`false_accept_rate` must be above 0 and below 1, or None. Received: false_accept_rate={false_accept_rate}"
        )
    known = gather_rows(evidence, labels, groups, familiarity)
    outside = gather_rows(
        np.atleast_2d(outside_evidence)[..., np.newaxis],
        np.full(outside_evidence.shape[-1], -1, dtype=np.int64),
        outside_groups if outside_groups is not None else [f"outside {i}" for i in range(outside_evidence.shape[-1])],
        outside_familiarity,
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
    known = gather_rows(evidence, labels, groups)
    likely = np.full(known.evidence.shape, np.nan)
    for part in part_rows(known.labels, known.groups):
        rest = known.take(~part)
        if len(rest.labels):
            temperature = fit_temperature(rest.evidence, rest.labels, rest.weights)
            likely[part] = soften(known.evidence[part], temperature)
    probabilities = np.full((evidence.size // evidence.shape[-1], evidence.shape[-1]), np.nan)
    probabilities[~np.isnan(evidence.reshape(probabilities.shape)).any(axis=1)] = likely
    return probabilities.reshape(evidence.shape)


def _fit(known: Rows, outside: Rows, rate: float | None) -> _Reading:
    temperature = fit_temperature(known.evidence, known.labels, known.weights)
    unknown_below, sure, unfamiliar = None, True, None
    if len(outside.labels) and rate is None:
        unknown_below = fit_unknown(known.best, outside.best, known.weights, outside.weights)
    elif len(outside.labels) and rate is not None:
        unknown_below, sure = keep_rate(outside.best, outside.weights, rate)
    if known.has_familiarity and (outside.has_familiarity or not len(outside.labels)):
        unfamiliar = fit_unfamiliar(known, outside, rate)
    return _Reading(
        temperature=temperature,
        match_from=fit_match(soften(known.evidence, temperature), known.labels, known.weights),
        unknown_below=unknown_below,
        unfamiliar=unfamiliar,
        sure=sure,
    )


@dataclass(frozen=True, kw_only=True)
class _Crossfit:
    """How each row fares by what rows of other groups set; NaN where nothing was.

    Attributes:
        likely: (n, C) probabilities of known photos.
        matched: (n,) 1 for a MATCH.
        poor: whether a row's evidence is below the threshold: of known photos (n,) and of outside ones (m,).
        unfamiliar: whether its familiarity is, likewise.
    """

    likely: NDArray[np.float64]
    matched: NDArray[np.float64]
    poor: tuple[NDArray[np.float64], NDArray[np.float64]]
    unfamiliar: tuple[NDArray[np.float64], NDArray[np.float64]]


def _crossfit(known: Rows, outside: Rows, rate: float | None) -> _Crossfit:
    count, others = len(known.labels), len(outside.labels)
    found = _Crossfit(
        likely=np.full(known.evidence.shape, np.nan),
        matched=np.full(count, np.nan),
        poor=(np.full(count, np.nan), np.full(others, np.nan)),
        unfamiliar=(np.full(count, np.nan), np.full(others, np.nan)),
    )
    # Groups are parted over both sides at once: the outside photos are the known ones again.
    labels, groups = np.concatenate([known.labels, outside.labels]), np.concatenate([known.groups, outside.groups])
    for part in part_rows(labels, groups):
        parts = part[:count], part[count:]
        fitted = _fit(known.take(~parts[0]), outside.take(~parts[1]), rate)
        for side, (rows, chosen) in enumerate(zip((known, outside), parts, strict=True)):
            if fitted.unknown_below is not None:
                found.poor[side][chosen] = rows.best[chosen] < fitted.unknown_below
            if fitted.unfamiliar is not None:
                adjusted = fitted.unfamiliar.adjust(rows)[chosen]
                found.unfamiliar[side][chosen] = adjusted < fitted.unfamiliar.below
        own = parts[0]
        found.likely[own] = soften(known.evidence[own], fitted.temperature)
        unknown = (found.poor if fitted.unfamiliar is None else found.unfamiliar)[0][own] == 1
        found.matched[own] = (found.likely[own].max(axis=1) >= fitted.match_from) & ~unknown
    return found


def _measure(known: Rows, outside: Rows, rate: float | None, reading: _Reading) -> dict[str, Any]:
    """Return what `Calibration` says of rates and figures, where there are any."""
    found = _crossfit(known, outside, rate)
    right = (found.likely.argmax(axis=1) == known.labels).astype(np.float64)
    names, theirs = known.groups.tolist(), outside.groups.tolist()
    figures: dict[str, Any] = {
        "match_share": estimate(found.matched, names),
        "match_precision": _keep_finite(estimate(np.where(found.matched == 1, right, np.nan), names)),
        "calibration_error": _keep_finite(estimate_calibration_error(found.likely, known.labels, names)),
    }
    if reading.unfamiliar is not None:
        refused, caught = found.unfamiliar
        adjusted = [reading.unfamiliar.adjust(rows) for rows in (known, outside)]
        figures["familiarity"] = FamiliarityThreshold(
            unfamiliar_below=reading.unfamiliar.below,
            evidence_weight=reading.unfamiliar.evidence_weight,
            usual_evidence=reading.unfamiliar.usual_evidence,
            false_reject_rate=estimate(refused, names),
            false_accept_rate=_keep_finite(estimate(1 - caught, theirs)),
            open_set_auroc=_keep_finite(estimate_auroc(*adjusted, groups=names, outside_groups=theirs)),
        )
    if reading.unknown_below is None:
        return figures
    return figures | {
        "false_accept_rate": float(np.average(outside.best >= reading.unknown_below, weights=outside.weights)),
        "false_reject_rate": float(np.average(known.best < reading.unknown_below, weights=known.weights)),
        "unseen_false_accept_rate": estimate(1 - found.poor[1], theirs),
        "unseen_false_reject_rate": estimate(found.poor[0], names),
        "open_set_auroc": _keep_finite(estimate_auroc(known.best, outside.best, groups=names, outside_groups=theirs)),
    }


def _keep_finite(figure: Figure) -> Figure | None:
    """Return *figure*, None where there is none: NaN has no place in a JSON document."""
    return figure if np.isfinite(figure.value) else None


def _put_in_words(
    fitted: str, counts: dict[str, Any], reading: _Reading, figures: dict[str, Any], rate: float | None
) -> str:
    words = [fitted]
    familiarity: FamiliarityThreshold | None = figures.get("familiarity")
    if reading.unknown_below is not None:
        words[0] += f" and {counts['outside_photos']} photos of families left out of training"
    if reading.match_from >= 1:
        words.append(f"no known photo is certain enough for a MATCH that is right {MATCH_PRECISION:.0%} of the time")
    if familiarity is not None:
        refused = f"{familiarity.false_reject_rate.value:.0%} of held-out photos"
        outside = familiarity.false_accept_rate
        caught = f" and {1 - outside.value:.0%} of those of left-out families" if outside else ""
        words.append(f"too unfamiliar, and so UNKNOWN, are {refused}{caught}")
    if reading.unknown_below is None:
        which = "the evidence of a vector alone" if familiarity else "UNKNOWN"
        words.append(
            f"no threshold for {which}: it takes three families and photos of {FEWEST_OUTSIDE} groups, "
            f"received {counts['outside_photos']} photos of {counts['outside_groups']} groups"
        )
        return "; ".join(words)
    if not reading.sure and rate is not None:
        words.append(
            f"{counts['outside_groups']} groups can't show a false-accept rate of {rate:.2g}, it takes "
            f"{count_needed_groups(rate)}: the UNKNOWN threshold is above all of them"
        )
    lost = familiarity.false_reject_rate.value if familiarity else figures["false_reject_rate"]
    if lost > MOST_LOST:
        goal = "to part known from outside photos" if rate is None else f"to keep a false-accept rate of {rate:.2g}"
        words.append(f"{goal}, {lost:.0%} of known photos come out UNKNOWN")
    return "; ".join(words)
