"""The reliability diagram: how often decisions of a given confidence are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beedex.training.report.content import ReliabilityBin

__all__ = ["ReliabilityDiagram", "plot_reliability"]

# The view box: a square plot, and below it the counts.
SIDE_PX, LEFT_PX, TOP_PX = 280.0, 46.0, 12.0
COUNTS_TOP_PX, COUNTS_HEIGHT_PX = 330.0, 44.0
LARGEST_RADIUS_PX, SMALLEST_RADIUS_PX = 9.0, 3.0
COUNT_WIDTH_PX = 12.0
# A digit of the labels, which are set in 12 px.
COUNT_DIGIT_PX = 7.0


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One bin: its dot, its interval, its gap to the diagonal and its bar of counts, in pixels."""

    x: str
    y: str
    radius: str
    low: str | None
    high: str | None
    diagonal: str
    bar_left: str
    bar_top: str
    bar_height: str
    label: str


@dataclass(frozen=True, kw_only=True)
class ReliabilityDiagram:
    """Dots, ticks (place and label, the same on both axes but for the direction) and a summary in words."""

    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[str, str], ...]
    y_ticks: tuple[tuple[str, str], ...]
    summary: str


def plot_reliability(bins: Sequence[ReliabilityBin]) -> ReliabilityDiagram | None:
    """Draw the bins that hold a decision; None where none does."""
    filled = [row for row in bins if row.count > 0 and np.isfinite([row.confidence, row.right.value]).all()]
    if not filled:
        return None
    most = max(row.count for row in filled)
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    labelled_to = -np.inf
    dots = []
    for row in sorted(filled, key=lambda row: row.confidence):
        place = row.confidence * SIDE_PX
        width = COUNT_DIGIT_PX * (len(str(row.count)) + 1)
        # Bins of equal counts crowd where confidence is high; the table below the diagram has every number.
        fits = place - width / 2 >= labelled_to
        labelled_to = place + width / 2 if fits else labelled_to
        dots.append(_draw(row, most, label=str(row.count) if fits else ""))
    return ReliabilityDiagram(
        dots=tuple(dots),
        x_ticks=tuple((_x(tick), f"{tick:.1f}") for tick in ticks),
        y_ticks=tuple((_y(tick), f"{tick:.1f}") for tick in ticks),
        summary=" ".join(
            f"Confidence {row.confidence:.2f}: right {row.right.value:.2f} of {row.count} times." for row in filled
        ),
    )


def _draw(row: ReliabilityBin, most: int, *, label: str) -> Dot:
    height = max(1.0, row.count / most * COUNTS_HEIGHT_PX)
    known = np.isfinite([row.right.low, row.right.high]).all()
    return Dot(
        x=_x(row.confidence),
        y=_y(row.right.value),
        # Areas, not radii, are in the proportion of the counts.
        radius=_write(max(SMALLEST_RADIUS_PX, LARGEST_RADIUS_PX * (row.count / most) ** 0.5)),
        low=_y(row.right.low) if known else None,
        high=_y(row.right.high) if known else None,
        diagonal=_y(row.confidence),
        bar_left=_write(LEFT_PX + row.confidence * SIDE_PX - COUNT_WIDTH_PX / 2),
        bar_top=_write(COUNTS_TOP_PX + COUNTS_HEIGHT_PX - height),
        bar_height=_write(height),
        label=label,
    )


def _x(share: float) -> str:
    return _write(LEFT_PX + share * SIDE_PX)


def _y(share: float) -> str:
    return _write(TOP_PX + (1 - share) * SIDE_PX)


def _write(pixels: float) -> str:
    return f"{pixels:.1f}"
