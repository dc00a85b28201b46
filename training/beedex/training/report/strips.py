"""A figure and its interval on a strip, one below the other on a common scale."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from beedex.index.metrics import Figure
from beedex.training.report.scales import Scale, fit_scale, format_tick

__all__ = ["WHOLE", "Axis", "Strip", "fit_axis", "make_strip"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from 0 to 100 percent of a strip's width, and its ticks: place and label."""

    scale: Scale
    ticks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Where a figure lies, in percent of the width; no interval where `low` is None."""

    value: str
    low: str | None
    high: str | None


def fit_axis(figures: Iterable[Figure]) -> Axis:
    """Return an axis around the figures and their intervals."""
    return _axis(fit_scale([(f.value, f.low, f.high) for f in figures], start=0, end=100, most_ticks=4))


def make_strip(figure: Figure | float | None, axis: Axis) -> Strip | None:
    """Place a figure on an axis; None where there is none to place."""
    value = figure.value if isinstance(figure, Figure) else figure
    if value is None or not np.isfinite(value):
        return None
    low, high = (figure.low, figure.high) if isinstance(figure, Figure) else (np.nan, np.nan)
    known = np.isfinite(low) and np.isfinite(high)
    return Strip(
        value=_percent(axis.scale, value),
        low=_percent(axis.scale, low) if known else None,
        high=_percent(axis.scale, high) if known else None,
    )


def _axis(scale: Scale) -> Axis:
    ticks: Sequence[float] = scale.ticks
    return Axis(scale=scale, ticks=tuple((_percent(scale, tick), format_tick(tick, ticks)) for tick in ticks))


def _percent(scale: Scale, value: float) -> str:
    return f"{float(scale.place(value)):.2f}%"


WHOLE = _axis(Scale(low=0.0, high=1.0, start=0.0, end=100.0, ticks=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0)))
