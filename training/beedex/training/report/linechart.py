"""A line chart as geometry: the template draws what stands here.

Shapes: S points of a line.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.report.scales import Scale, fit_scale, format_tick

__all__ = ["LineChart", "Mark", "Series", "plot_lines"]

# Narrow enough for a phone to show it at its own size: text in a chart shrinks with it.
WIDTH_PX, HEIGHT_PX = 400.0, 236.0
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46.0, 12.0, 14.0, 34.0

# A longer line is drawn as means of bins, with a band from their least to their greatest value.
MOST_POINTS = 240


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: *values* (S,) at *steps* (S,); NaN is a gap. With *dots*, every value is one."""

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    dots: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A vertical line at *step*, named *name* above the frame, of a kind that the stylesheet knows."""

    step: int
    name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A drawn series: SVG path data, and the places of its dots."""

    name: str
    path: str
    band: str
    dots: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """A drawn chart.

    Attributes:
        name: its title.
        width: of the view box.
        height: of the view box.
        frame: left, top, right and bottom of the plot.
        x_ticks: place and label.
        y_ticks: place and label.
        lines: in the order of the series.
        marks: place, and the mark.
        summary: the lines in words, for those who don't see them.
    """

    name: str
    width: str
    height: str
    frame: tuple[str, str, str, str]
    x_ticks: tuple[tuple[str, str], ...]
    y_ticks: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    marks: tuple[tuple[str, Mark], ...]
    summary: str


def plot_lines(
    name: str,
    series: Sequence[Series],
    *,
    marks: Sequence[Mark] = (),
    steps: tuple[int, int],
    logarithmic: bool = False,
    from_zero: bool = False,
) -> LineChart | None:
    """Draw the series over their steps; None where no value is a number.

    Args:
        name: the title.
        series: the lines.
        marks: vertical lines.
        steps: first and last step of the axis, the same for charts to be compared.
        logarithmic: the vertical axis, where the values span enough for it.
        from_zero: whether the vertical axis begins at 0.
    """
    values = np.concatenate([line.values for line in series]) if series else np.empty(0)
    if not np.isfinite(values).any():
        return None
    lowest = [0.0] if from_zero else []
    x = fit_scale(steps, start=LEFT_PX, end=WIDTH_PX - RIGHT_PX, most_ticks=5)
    # The axis ends where the training did: a round end would leave a third of the plot empty.
    x = Scale(low=steps[0], high=max(steps[1], steps[0] + 1), start=x.start, end=x.end, ticks=x.ticks)
    y = fit_scale([*values, *lowest], start=HEIGHT_PX - BOTTOM_PX, end=TOP_PX, logarithmic=logarithmic, most_ticks=4)
    shown = [tick for tick in x.ticks if x.low <= tick <= x.high]
    return LineChart(
        name=name,
        width=_write(WIDTH_PX),
        height=_write(HEIGHT_PX),
        frame=(_write(x.start), _write(y.end), _write(x.end), _write(y.start)),
        x_ticks=tuple((_write(x.place(tick)), format_tick(tick, x.ticks)) for tick in shown),
        y_ticks=tuple((_write(y.place(tick)), format_tick(tick, y.ticks)) for tick in y.ticks),
        lines=tuple(_draw(line, x, y) for line in series),
        marks=tuple((_write(x.place(mark.step)), mark) for mark in marks),
        summary=" ".join(_summarize(line) for line in series),
    )


def _draw(line: Series, x: Scale, y: Scale) -> Line:
    steps, values = line.steps.astype(np.float64), line.values
    band = ""
    if len(values) > MOST_POINTS:
        bins = np.array_split(np.arange(len(values)), MOST_POINTS)
        whole = [rows for rows in (rows[np.isfinite(values[rows])] for rows in bins) if len(rows)]
        steps = np.array([steps[rows].mean() for rows in whole])
        upper = y.place([values[rows].max() for rows in whole])
        lower = y.place([values[rows].min() for rows in whole])
        across = x.place(steps)
        band = _write_path(np.concatenate([across, across[::-1]]), np.concatenate([upper, lower[::-1]])) + "Z"
        values = np.array([values[rows].mean() for rows in whole])
    across, up = x.place(steps), y.place(np.where(np.isfinite(values), values, np.nan))
    known = np.isfinite(up)
    dots = zip(across[known], up[known], strict=True) if line.dots or known.sum() == 1 else ()
    return Line(
        name=line.name,
        path=_write_path(across, up),
        band=band,
        dots=tuple((_write(left), _write(top)) for left, top in dots),
    )


def _write_path(across: NDArray[np.float64], up: NDArray[np.float64]) -> str:
    """Return path data that is lifted over gaps."""
    words: list[str] = []
    for known, points in itertools.groupby(zip(across, up, strict=True), key=lambda point: bool(np.isfinite(point[1]))):
        if known:
            words.append("M" + "L".join(f"{_write(left)} {_write(top)}" for left, top in points))
    return "".join(words)


def _summarize(line: Series) -> str:
    known = np.flatnonzero(np.isfinite(line.values))
    if not len(known):
        return f"{line.name}: no values."
    first, last = known[0], known[-1]
    low, high = known[line.values[known].argmin()], known[line.values[known].argmax()]
    return (
        f"{line.name}: {line.values[first]:.3g} at step {line.steps[first]}, "
        f"{line.values[last]:.3g} at step {line.steps[last]}, "
        f"lowest {line.values[low]:.3g} at step {line.steps[low]}, "
        f"highest {line.values[high]:.3g} at step {line.steps[high]}."
    )


def _write(pixels: float | NDArray[np.float64]) -> str:
    """Write a place with a digit after the point: a tenth of a pixel can't be seen."""
    return f"{float(pixels):.1f}".removesuffix(".0")
