"""Composing the report of a training or an evaluation from what was found.

Shapes: R repeats, N photos, C families, D dimension, F features.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.calibration import Calibration
from beedex.index.figure import Figure
from beedex.index.inspection import InspectedPhoto
from beedex.index.metrics import RetrievalScores, average_repeats, estimate
from beedex.index.photos import read_photo
from beedex.index.reliability import reliability_bins
from beedex.training.fitting.history import History
from beedex.training.judging.calibration import crossfit_probabilities
from beedex.training.judging.crossvalidation import CrossValidation
from beedex.training.judging.figures import FIGURES, Judgement
from beedex.training.recipes.selection import Selection
from beedex.training.report import (
    CalibrationEvidence,
    Confusion,
    FamilyRow,
    FigureRow,
    GuardAction,
    Lookups,
    ReliabilityBin,
    ReportedPhoto,
    Results,
    Tap,
)
from beedex.training.report import History as ReportedHistory

__all__ = [
    "PhotoReader",
    "count_confusions",
    "list_lookups",
    "list_photos",
    "list_taps",
    "name_histories",
    "read_calibration",
    "spell_command",
    "tabulate",
]

WILSON_Z = 1.96

# How the parts of a training are called in the report.
PARTS = {
    "head": "Head, on all photos",
    "head-trial": "Head, with held-out photos",
    "tail": "Last blocks and head, on all photos",
    "tail-trial": "Last blocks and head, with held-out photos",
}


def spell_command() -> str:
    """Return the command line of this process as a person would type it."""
    return shlex.join([Path(sys.argv[0]).name.replace("__main__.py", "beedex"), *sys.argv[1:]])


def tabulate(judgement: Judgement, *, protocol: str, notes: Sequence[str]) -> Results:
    """Return the figures as the report shows them: over photos, over families, and by family."""
    trained, frozen = judgement.estimate(judgement.trained), judgement.estimate(judgement.frozen)
    probe = None if judgement.probe_hits is None else estimate(judgement.probe_hits, judgement.groups)
    rows = [
        FigureRow(
            name=name,
            trained=trained.micro[key],
            probe=probe if key == "recall_at_1" else None,
            frozen=frozen.micro[key],
            chance=judgement.average_chance(field),
        )
        for key, name, field in FIGURES
    ]
    rows += [
        FigureRow(name=f"{name}, mean of families", trained=trained.macro[key], frozen=frozen.macro[key])
        for key, name, _ in FIGURES
    ]
    if judgement.unseen:
        unseen = judgement.estimate(judgement.unseen)
        rows += [
            FigureRow(name=f"{name}, among unseen photos", trained=unseen.micro[key])
            for key, name, _ in FIGURES
            if np.isfinite(unseen.micro[key].value)
        ]
    families = tuple(
        FamilyRow(
            family=family.family,
            photos=family.photos,
            groups=family.groups,
            recall=family.figure if family.photos else None,
            judged=family.judged,
        )
        for family in judgement.estimate_by_family()
    )
    comparisons = tuple(comparison.words for comparison in judgement.compare().values())
    return Results(
        figures=tuple(rows), families=families, comparisons=comparisons, protocol=protocol, notes=tuple(notes)
    )


def list_photos(photos: Sequence[InspectedPhoto]) -> tuple[ReportedPhoto, ...]:
    """Return N photos as the report names them."""
    return tuple(
        ReportedPhoto(path=photo.photo.path.as_posix(), family=photo.photo.family, group=photo.group)
        for photo in photos
    )


class PhotoReader:
    """Opens the photos of a gallery by number."""

    def __init__(self, root: Path, photos: Sequence[InspectedPhoto]) -> None:
        self._paths = [root / photo.photo.path for photo in photos]

    def __call__(self, number: int) -> bytes:
        """Return a photo's bytes."""
        return read_photo(self._paths[number])


def count_confusions(probabilities: NDArray[np.float64], labels: NDArray[np.int64], families: int) -> Confusion:
    """Count which family was likeliest for the photos of each.

    Args:
        probabilities: (R, N, C) of held-out photos; a photo's repeats share its weight.
        labels: (N,).
        families: C.
    """
    counts = np.zeros((families, families))
    for i, label in enumerate(labels):
        rows = probabilities[:, i][~np.isnan(probabilities[:, i]).all(axis=1)]
        for row in rows:
            counts[label, int(np.nanargmax(row))] += 1 / len(rows)
    return Confusion(counts=counts)


def read_calibration(
    calibration: Calibration, held_out: CrossValidation, labels: NDArray[np.int64], groups: Sequence[str]
) -> CalibrationEvidence:
    """Return the calibration with the dots of its reliability diagram."""
    probabilities = crossfit_probabilities(held_out.evidence, labels, groups)
    bins = [
        ReliabilityBin(
            confidence=dot.confidence,
            # Repeats look the same photos up again: they don't narrow the interval.
            right=_bound_share(dot.share_right, max(dot.count / held_out.protocol.repeats, 1.0)),
            count=dot.count,
        )
        for dot in reliability_bins(probabilities, labels)
    ]
    return CalibrationEvidence(
        bins=tuple(bins),
        expected_error=calibration.calibration_error,
        open_set_auroc=calibration.open_set_auroc,
        temperature=calibration.temperature,
        match_from=calibration.match_from,
        unknown_below=calibration.unknown_below,
        false_accept_rate=calibration.false_accept_rate,
        false_reject_rate=calibration.false_reject_rate,
        familiarity=calibration.familiarity,
        note=calibration.note,
    )


def list_lookups(held_out: CrossValidation, labels: NDArray[np.int64]) -> Lookups:
    """Return what each photo found when it was held out: scores over all repeats, neighbors of the first one."""
    trained: RetrievalScores = held_out.scores["trained"]
    hits = average_repeats(trained.hit_at_1)
    return Lookups(
        photos=np.arange(len(labels)),
        average_precision=average_repeats(trained.average_precision_at_r),
        hits=np.where(np.isnan(hits), np.nan, hits >= 0.5),
        neighbors=held_out.neighbors,
        similarities=held_out.similarities,
    )


def name_histories(histories: Mapping[str, History]) -> tuple[ReportedHistory, ...]:
    """Return the trainings as the report shows them."""
    return tuple(
        ReportedHistory(
            name=PARTS[part],
            steps=history.steps,
            loss=history.loss,
            active_share=history.active_share,
            positive_distance=history.positive_distance,
            negative_distance=history.negative_distance,
            learning_rate=history.learning_rate,
            validation_steps=history.validation_steps,
            validation_map_at_r=history.validation_map_at_r,
            best_step=int(history.validation_steps[np.nanargmax(history.validation_map_at_r)])
            if np.isfinite(history.validation_map_at_r).any()
            else None,
            actions=tuple(
                GuardAction(step=action.step, action=action.action, evidence=action.evidence)
                for action in history.actions
            ),
        )
        for part, history in histories.items()
    )


def list_taps(selection: Selection | None) -> tuple[Tap, ...]:
    """Return the sets of blocks that were compared."""
    candidates = selection.candidates if selection else ()
    return tuple(Tap(name=row.name, map_at_r=row.map_at_r, chosen=row.chosen) for row in candidates)


def _bound_share(share: float, count: float) -> Figure:
    """Return a share with Wilson's 95 % interval (https://doi.org/10.1080/01621459.1927.10502953)."""
    z2 = WILSON_Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = WILSON_Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    # Of a share of 0 or 1 one end is the share itself, but for rounding.
    low, high = min(middle - spread, share), max(middle + spread, share)
    return Figure(value=share, low=float(max(0.0, low)), high=float(min(1.0, high)))
