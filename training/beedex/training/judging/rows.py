"""Look-ups as rows, for thresholds to be fitted on, and how they are parted for cross-fitting.

Shapes: R repeats, N held-out photos, C families, n rows: R look-ups of each photo, less those without a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.folds import assign_folds

__all__ = ["Rows", "gather_rows", "part_rows"]

PARTS = 5


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Look-ups of known photos, or of outside ones, which have the best evidence alone and label -1.

    Attributes:
        evidence: (n, C), or (n, 1) of outside photos.
        familiarity: (n,); NaN where it was not measured.
        labels: (n,) columns of the right families.
        groups: (n,).
        photos: (n,) numbers.
    """

    evidence: NDArray[np.float64]
    familiarity: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    photos: NDArray[np.intp]

    def take(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Return the rows where *chosen* (n,) is true."""
        return Rows(
            evidence=self.evidence[chosen],
            familiarity=self.familiarity[chosen],
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            photos=self.photos[chosen],
        )

    @property
    def best(self) -> NDArray[np.float64]:
        """(n,) the best family's evidence."""
        best: NDArray[np.float64] = self.evidence.max(axis=1)
        return best

    @property
    def has_familiarity(self) -> bool:
        """Whether every row has one; false without a row."""
        return len(self.labels) > 0 and bool(np.isfinite(self.familiarity).all())

    @property
    def weights(self) -> NDArray[np.float64]:
        """Equal for all photos, divided among a photo's rows, and as many in all as there are groups."""
        rows_of = np.bincount(self.photos)
        shares: NDArray[np.float64] = self.count_groups() / max(self.count_photos(), 1) / rows_of[self.photos]
        return shares

    def count_groups(self) -> int:
        """Return how many groups the rows are of."""
        return len(np.unique(self.groups))

    def count_photos(self) -> int:
        """Return how many photos the rows are of."""
        return len(np.unique(self.photos))


def gather_rows(
    evidence: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str] | None,
    familiarity: NDArray[np.float64] | None = None,
) -> Rows:
    """Return the rows that are whole.

    Args:
        evidence: (N, C) or (R, N, C); rows with NaN don't count.
        labels: (N,).
        groups: (N,); None where each photo is a group by itself.
        familiarity: (N,) or (R, N); None where it was not measured.
    """
    rows = evidence.reshape(-1, evidence.shape[-1])
    photos = np.tile(np.arange(len(labels)), len(rows) // max(len(labels), 1))
    names = np.asarray([str(i) for i in range(len(labels))] if groups is None else groups, dtype=np.str_)
    whole = ~np.isnan(rows).any(axis=1)
    measured = np.full(len(rows), np.nan) if familiarity is None else familiarity.ravel()
    return Rows(
        evidence=rows[whole],
        familiarity=measured[whole],
        labels=labels[photos[whole]],
        groups=names[photos[whole]],
        photos=photos[whole],
    )


def part_rows(labels: NDArray[np.int64], groups: NDArray[np.str_]) -> list[NDArray[np.bool_]]:
    """Return masks (n,) of up to `PARTS` parts of the rows, none of which shares a group with another."""
    if len(labels) == 0:
        return []
    part_of = assign_folds(labels, groups.tolist(), folds=PARTS, seed=0)
    return [part_of == part for part in range(PARTS) if (part_of == part).any()]
