"""Whether one embedder is better than another on the same photos, in numbers and in words.

Both looked up the same photos, so that what is judged is each group's difference: easy and hard photos weigh on both
alike. The p-value is that of a sign-flip permutation test over groups: if neither were better, each group's difference
could as well have come out with the other sign (Fisher's randomisation test of pairs). It needs no distribution, and is
exact while there are few groups.

Shapes: Q queries, R repeats, G groups, B draws at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beedex.index.bootstrap import find_interval, find_perfect_doubt, resample
from beedex.index.metrics import average_repeats

__all__ = ["SIGNIFICANCE", "Comparison", "compare"]

# A difference is said to be shown below this p-value, and if the interval leaves out 0 as well.
SIGNIFICANCE = 0.05

# All 2^16 sign patterns are tried while at most so many groups differ; with more, so many patterns are drawn.
MOST_EXACT_GROUPS = 16
DRAWN_PATTERNS = 20_000
PATTERNS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A paired comparison.

    Attributes:
        difference: mean of the first less that of the second.
        low: lower end of the difference's 95 % interval.
        high: upper end.
        p_value: of the two-sided sign-flip test; how often chance alone makes so large a difference.
        groups: how many groups were compared.
        differing: in how many of them the two differ.
        words: what that comes to, in one sentence.
    """

    difference: float
    low: float
    high: float
    p_value: float
    groups: int
    differing: int
    words: str

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: by the test and by the interval."""
        return self.p_value < SIGNIFICANCE and not self.low <= 0 <= self.high


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    groups: Sequence[str],
    *,
    first_name: str = "the trained head",
    second_name: str = "frozen features",
    figure: str = "Recall@1",
    seed: int = 0,
) -> Comparison:
    """Compare what two embedders reached on the same photos.

    Args:
        first: (Q,) or (R, Q) values in [0, 1]; NaN values don't count, and (R, Q) are averaged over R first.
        second: (Q,) or (R, Q) of the same photos; those that only one of them judged don't count.
        groups: (Q,) which photos stand and fall together.
        first_name: for the sentence, as is *second_name*.
        second_name: what the first is compared with.
        figure: what the values are.
        seed: of the draws.

    Raises:
        ValueError: no photo was judged by both.

    Example:
        >>> trained, frozen = np.tile([1.0, 1.0, 1.0, 0.0], 10), np.tile([1.0, 0.0, 1.0, 0.0], 10)
        >>> compare(trained, frozen, [str(i) for i in range(40)]).words
        'The trained head beats frozen features: Recall@1 +0.25 (95 % interval +0.13 to +0.38, p = 0.002, 40 groups).'
    """
    differences = average_repeats(first) - average_repeats(second)  # (Q,)
    kept = ~np.isnan(differences)
    if not kept.any():
        raise ValueError(
            f"a comparison needs photos that both judged, received {len(differences)} photos of which none has two "
            "values"
        )
    _, group_of = np.unique(np.asarray(groups)[kept], return_inverse=True)
    sums = np.bincount(group_of, weights=differences[kept]).astype(np.float64)  # (G,)
    counts = np.bincount(group_of)  # (G,)
    sums[np.abs(sums) < 1e-12] = 0.0  # what rounding leaves of equal repeats
    difference = float(sums.sum() / counts.sum())
    low, high = _find_range(sums, counts, seed)
    found = Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=_flip_signs(sums, seed),
        groups=len(sums),
        differing=int(np.count_nonzero(sums)),
        words="",
    )
    return replace(found, words=_put_in_words(found, first_name, second_name, figure))


def _find_range(sums: NDArray[np.float64], counts: NDArray[np.int64], seed: int) -> tuple[float, float]:
    difference = float(sums.sum() / counts.sum())
    if np.ptp(sums / counts) == 0:  # no resampling shows a doubt
        doubt = find_perfect_doubt(len(sums))
        return max(-1.0, difference - doubt), min(1.0, difference + doubt)

    def average(multiplicities: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, G) -> (B,)
        means: NDArray[np.float64] = (multiplicities @ sums) / (multiplicities @ counts)
        return means

    low, high = find_interval(resample(average, [len(sums)], seed=seed), freedom=len(sums) - 1)
    return min(low, difference), max(high, difference)


def _flip_signs(sums: NDArray[np.float64], seed: int) -> float:
    """Return the share of sign patterns whose sum is at least as far from 0 as the one observed."""
    differing = sums[sums != 0]
    reached = abs(float(differing.sum())) - 1e-9 * float(np.abs(differing).sum())  # ties are ties despite rounding
    if len(differing) <= MOST_EXACT_GROUPS:
        flips = np.arange(1 << len(differing))[:, np.newaxis] >> np.arange(len(differing)) & 1
        return float((np.abs((1 - 2 * flips) @ differing) >= reached).mean())
    generator = np.random.default_rng(seed)
    as_far = 0
    for _ in range(DRAWN_PATTERNS // PATTERNS_AT_ONCE):
        signs = 1 - 2.0 * generator.integers(2, size=(PATTERNS_AT_ONCE, len(differing)))
        as_far += int(np.count_nonzero(np.abs(signs @ differing) >= reached))
    # The observed pattern is one of them: a p-value of 0 would claim more than was tried.
    return (as_far + 1) / (DRAWN_PATTERNS + 1)


def _put_in_words(found: Comparison, first_name: str, second_name: str, figure: str) -> str:
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
    evidence = (
        f"{figure} {found.difference:+.2f} (95 % interval {found.low:+.2f} to {found.high:+.2f}, {p}, "
        f"{found.groups} group{'s' * (found.groups != 1)})"
    )
    if found.shown:
        verb = "beats" if found.difference > 0 else "is worse than"
        return f"{first_name[:1].upper()}{first_name[1:]} {verb} {second_name}: {evidence}."
    between = f"No difference between {first_name} and {second_name} can be shown: {evidence}"
    # Of n groups that differ, all to one side, 2 of 2^n patterns are as far.
    needed = int(np.ceil(1 - np.log2(SIGNIFICANCE)))
    if found.differing < needed:
        return f"{between}; they differ in {found.differing}, and it takes {needed} to show one."
    return f"{between}."
