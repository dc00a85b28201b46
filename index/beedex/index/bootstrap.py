"""The bootstrap over groups: how far a figure would move had other animals been photographed.

Photos of one group stand and fall together: drawing them one by one would make every interval too narrow. Two
corrections keep the intervals of few groups honest (Hesterberg 2015, "What teachers should know about the bootstrap",
https://doi.org/10.1080/00031305.2015.1089789): a stratum of n groups is drawn n - 1 times, and the
percentiles are those of Student's t instead of the normal distribution. For 10 groups of 1 to 5 correlated photos the
interval of a share of 0.8 held the truth in 0.94 of 600 simulated galleries with them, in 0.89 without.

Shapes: B draws at a time, G groups.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

__all__ = ["DRAWS", "draw_multiplicities", "find_interval", "find_perfect_doubt", "resample"]

DRAWS = 2000
TAIL = 0.025
WILSON_Z = 1.96

# Multiplicities are made in blocks of at most this many numbers, 32 MB.
BLOCK_NUMBERS = 1 << 22


def draw_multiplicities(sizes: Sequence[int], *, seed: int = 0, numbers: int = 0) -> Iterator[NDArray[np.float64]]:
    """Yield how often each group is drawn, `DRAWS` draws in blocks of (B, G).

    Args:
        sizes: number of groups in each stratum; groups of a stratum stand side by side, G is their sum. Every stratum
            is drawn by itself, so that none is ever absent; one of a single group is always drawn once.
        seed: of the draws.
        numbers: how many numbers the caller makes of one draw, if more than G; keeps blocks small enough for it.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, BLOCK_NUMBERS // max(1, sum(sizes), numbers))
    for start in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - start)
        yield np.concatenate([_draw_stratum(size, draws, generator) for size in sizes], axis=1)


def resample(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    sizes: Sequence[int],
    *,
    seed: int = 0,
    numbers: int = 0,
) -> NDArray[np.float64]:
    """Return (`DRAWS`, ...) values of *statistic*, which takes (B, G) multiplicities to (B, ...) values."""
    return np.concatenate([statistic(block) for block in draw_multiplicities(sizes, seed=seed, numbers=numbers)])


def find_interval(draws: NDArray[np.float64], *, freedom: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of resampled values.

    Args:
        draws: (`DRAWS`,).
        freedom: degrees of freedom: groups less strata.
    """
    # With one degree of freedom the percentiles are already the least and the largest draw.
    tail = float(ndtr(stdtrit(max(freedom, 1), TAIL)))
    low, high = np.percentile(draws, [100 * tail, 100 * (1 - tail)])
    return float(low), float(high)


def find_perfect_doubt(groups: int) -> float:
    """Return how far below 1 a share may be of which *groups* of as many draws saw 1: Wilson's interval.

    Where all are right or all are wrong, no resampling shows a doubt.
    """
    return WILSON_Z**2 / (groups + WILSON_Z**2)


def _draw_stratum(size: int, draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    chosen = generator.integers(size, size=(draws, max(size - 1, 1))) + np.arange(draws)[:, np.newaxis] * size
    return np.bincount(chosen.ravel(), minlength=draws * size).reshape(draws, size).astype(np.float64)
