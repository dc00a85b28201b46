"""How photos are held out: folds stratified by family that never split a group, repeated while photos are few.

Shapes: N photos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Protocol", "Split", "assign_folds", "choose_protocol", "draw_splits"]

FOLDS = 5

# One held-out fold says enough where its interval is at most this wide to each side; below, every fold is held out.
# With five folds that takes 12,005 groups.
CLOSE_ENOUGH = 0.02

# Folds are drawn again while that takes this many look-ups at most. A repeat adds no photo, it averages the luck of the
# draw: three leave about a third of its variance, and each costs a head for every fold.
REPEATED_LOOKUPS = 3000
REPEATS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How a gallery's photos are held out.

    Attributes:
        folds: how many parts the photos come into.
        held_out: how many of these are held out in turn: all, or one.
        repeats: how often the folds are drawn.
        why: in one sentence, with the numbers that decided.
    """

    folds: int
    held_out: int
    repeats: int
    why: str

    @property
    def splits(self) -> int:
        """How many heads that takes, at most."""
        return self.held_out * self.repeats


@dataclass(frozen=True, kw_only=True)
class Split:
    """One way to part the photos.

    Attributes:
        repeat: which drawing of the folds it is of, from 0.
        held_out: (N,) the photos that are judged; the others are known.
    """

    repeat: int
    held_out: NDArray[np.bool_]


def choose_protocol(labels: NDArray[np.int64], groups: Sequence[str]) -> Protocol:
    """Return how to hold out photos: one fold of many, or each fold of few in turn, and repeatedly.

    Args:
        labels: (N,).
        groups: (N,).

    Example:
        >>> protocol = choose_protocol(np.arange(154) % 6, [str(i) for i in range(154)])
        >>> protocol.folds, protocol.held_out, protocol.repeats
        (5, 5, 3)
        >>> print(protocol.why)
        154 photos of 154 groups and 6 families are few: 5-fold cross-validation by group, 3 times over, since one \
split of about 31 groups would leave an interval of +-0.18
    """
    count, of_groups, families = len(labels), len(set(groups)), len(np.unique(labels))
    photos = f"{count:,} photos of {of_groups:,} groups and {families:,} families"
    doubt = _foresee_doubt(max(of_groups // FOLDS, 1))
    held_out = f"one split of about {max(round(of_groups / FOLDS), 1):,} groups"
    if doubt <= CLOSE_ENOUGH:
        return Protocol(
            folds=FOLDS,
            held_out=1,
            repeats=1,
            why=f"{photos} are many: {held_out} is held out, which leaves an interval of at most +-{doubt:.2f}",
        )
    repeats = int(np.clip(REPEATED_LOOKUPS // count, 1, REPEATS))
    often = f", {repeats} times over" if repeats > 1 else ""
    return Protocol(
        folds=FOLDS,
        held_out=FOLDS,
        repeats=repeats,
        why=f"{photos} are few: {FOLDS}-fold cross-validation by group{often}, since {held_out} would leave an "
        f"interval of +-{doubt:.2f}",
    )


def draw_splits(labels: NDArray[np.int64], groups: Sequence[str], protocol: Protocol, *, seed: int) -> Iterator[Split]:
    """Yield the splits of a protocol, at most `Protocol.splits`; each repeat draws its folds with a seed of its own.

    Args:
        labels: (N,).
        groups: (N,).
        protocol: as `choose_protocol` gives it.
        seed: of the first repeat.
    """
    for repeat, drawn in enumerate(np.random.SeedSequence(seed).generate_state(protocol.repeats).tolist()):
        fold_of = assign_folds(labels, groups, folds=protocol.folds, seed=drawn)
        # Fewer groups than folds leave some empty.
        for fold in np.unique(fold_of)[: protocol.held_out]:
            yield Split(repeat=repeat, held_out=fold_of == fold)


def assign_folds(
    labels: Sequence[int] | NDArray[np.int64], groups: Sequence[str], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Assign every photo to one of *folds* sets.

    Large groups are placed first, each where its family has the fewest photos so far, then where there are the fewest
    photos at all; chance breaks ties. Where every group is of one family, a family's photos in two folds therefore
    differ by at most its largest group.

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


def _foresee_doubt(groups: int) -> float:
    """Return the largest half width of a 95 % interval of a share: that of one half, by the normal approximation."""
    return float(1.96 * 0.5 / np.sqrt(groups))
