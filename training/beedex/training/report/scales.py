"""From values to places on a chart, with round ticks."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Scale", "fit_scale", "format_tick"]

# A quantity that spans more than this factor is drawn by its logarithm where that is asked for.
LOGARITHMIC_FROM = 20.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear or logarithmic scale.

    Attributes:
        low: the value at *start*.
        high: the value at *end*.
        start: in pixels or percent.
        end: in the same unit; less than *start* for an axis that points upwards.
        ticks: values to be marked, rising.
        logarithmic: whether equal factors take equal room.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return where *values* lie; NaN stays NaN.

        >>> fit_scale([0, 10], start=0, end=100).place([0, 2.5, 10]).tolist()
        [0.0, 25.0, 100.0]
        """
        given = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.logarithmic:
            given, low, high = np.log10(given), math.log10(low), math.log10(high)
        placed: NDArray[np.float64] = self.start + (given - low) / (high - low) * (self.end - self.start)
        return placed


def fit_scale(values: ArrayLike, *, start: float, end: float, logarithmic: bool = False, most_ticks: int = 5) -> Scale:
    """Return a scale that holds all finite *values* and begins and ends at a round one.

    Args:
        values: any shape; NaN and infinity don't count.
        start: where the lowest goes.
        end: where the highest goes.
        logarithmic: taken as a wish: not for values that are not all positive or that lie close together.
        most_ticks: how many round values are marked, at about the most.

    Example:
        >>> fit_scale([0.13, 0.84], start=0, end=1).ticks
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    given = np.asarray(values, dtype=np.float64)
    finite = given[np.isfinite(given)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if logarithmic and low > 0 and high / low >= LOGARITHMIC_FROM:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        marked = [10.0**power for power in powers]
        step = -(-len(marked) // most_ticks)
        return Scale(
            low=marked[0], high=marked[-1], start=start, end=end, ticks=tuple(marked[::step]), logarithmic=True
        )
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        # One value: half its size of room on either side.
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    ticks = _choose_ticks(low, high, most_ticks)
    return Scale(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=tuple(ticks))


def format_tick(value: float, ticks: Sequence[float]) -> str:
    """Write a tick with as many digits as its neighbors need, powers of ten apart as such.

    >>> format_tick(0.5, [0.0, 0.5, 1.0]), format_tick(0.0001, [0.0001, 0.001]), format_tick(200, [0, 200])
    ('0.5', '1e-4', '200')
    """
    steps = [b - a for a, b in itertools.pairwise(ticks)]
    smallest = min(steps, default=1.0)
    if value != 0 and (smallest < 1e-3 or abs(value) >= 1e6):
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    digits = max(0, -math.floor(math.log10(smallest) + 1e-9))
    return f"{value:.{digits}f}"


def _choose_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Rounded, so that 3 * 0.1 is marked as 0.3.
    return [round(number * step, 12 - math.floor(math.log10(step))) for number in range(first, last + 1)]
