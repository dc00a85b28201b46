"""Folds for cross-validation: stratified by family, and never splitting a group."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign_folds"]


def assign_folds(
    labels: Sequence[int] | NDArray[np.int64], groups: Sequence[str], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Assign every photo to one of *folds* sets.

    Large groups are placed first, each where its family has the fewest photos so far, then where there are the fewest
    photos at all; chance breaks ties.

    Args:
        labels: (N,).
        groups: (N,); photos of equal groups come into the same fold, whatever their labels.
        folds: how many, at least 2.
        seed: of the ties.

    Returns:
        (N,) fold of each photo, in [0, folds).
    """
    label_numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    counts = np.zeros((len(names), label_numbers.max() + 1), dtype=np.int64)  # photos by group and label
    np.add.at(counts, (member, label_numbers), 1)
    order = np.lexsort((generator.random(len(names)), -counts.sum(axis=1)))
    filled = np.zeros((folds, counts.shape[1]), dtype=np.int64)
    fold_of_group = np.zeros(len(names), dtype=np.int64)
    for group in order:
        of_its_families = filled[:, counts[group] > 0].sum(axis=1)
        chosen = np.lexsort((generator.random(folds), filled.sum(axis=1), of_its_families))[0]
        fold_of_group[group] = chosen
        filled[chosen] += counts[group]
    return fold_of_group[member]
