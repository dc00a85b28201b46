"""P x K batches: P families with K photos each, in which every photo has a positive of another group.

A positive of the same group (the same animal, the next frame) would teach the network to recognise individuals and
backgrounds. So a family takes part when its photos come from two groups at least.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batches", "find_trainable"]


class Batches:
    """An endless source of epochs over labelled, grouped photos.

    Args:
        labels: (N,) family of each photo, as integers.
        groups: (N,) group of each photo; equal strings are one group.
        families_per_batch: P; all families are taken where there are fewer.
        photos_per_family: K, at least 2.
        generator: the only source of chance.

    Attributes:
        trained: (M,) indices of the photos that take part, ascending.

    Raises:
        ValueError: K is below 2, or fewer than two families have two groups.

    Example:
        >>> batches = Batches([0, 0, 1, 1], ["a", "b", "c", "d"], families_per_batch=2, photos_per_family=2,
        ...                   generator=np.random.default_rng(0))
        >>> [sorted(batch.tolist()) for batch in batches.draw_epoch()]
        [[0, 1, 2, 3]]
    """

    def __init__(
        self,
        labels: Sequence[int] | NDArray[np.int64],
        groups: Sequence[str],
        *,
        families_per_batch: int,
        photos_per_family: int,
        generator: np.random.Generator,
    ) -> None:
        if photos_per_family < 2:
            raise ValueError(f"`photos_per_family` must be at least 2. Received: {photos_per_family}")
        self._labels = np.asarray(labels)
        self._group_numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
        self._generator = generator
        self._photos_per_family = photos_per_family
        trainable = find_trainable(self._labels, self._group_numbers)
        if len(trainable) < 2:
            raise ValueError(
                "triplets need two families with photos of two groups each, "
                f"received {len(trainable)} such among {len(np.unique(self._labels))}"
            )
        self._families = [np.flatnonzero(self._labels == label) for label in trainable]
        self._families_per_batch = min(families_per_batch, len(self._families))
        self.trained = np.sort(np.concatenate(self._families))

    def draw_epoch(self) -> Iterator[NDArray[np.int64]]:
        """Yield batches of (P * K,) indices in which every trained photo comes at least once."""
        waiting = [self._deal(photos) for photos in self._families]
        while any(waiting):
            lengths = np.array([len(hands) for hands in waiting])
            # The families with most left to show first, so that a long one doesn't end up alone; chance breaks ties.
            order = np.lexsort((self._generator.random(len(lengths)), -lengths))[: self._families_per_batch]
            yield np.concatenate([waiting[i].pop() if waiting[i] else self._deal(self._families[i])[0] for i in order])

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has; a few more where one group is most of its family."""
        hands = [-(-len(photos) // self._photos_per_family) for photos in self._families]
        return max(*hands, -(-sum(hands) // self._families_per_batch))

    def _deal(self, photos: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split a family's photos, in random order, into hands of K with two groups at least in each."""
        shuffled = self._generator.permutation(photos)
        # Round-robin over groups: first every group's first photo, then the second ones.
        turn = _number_within(self._group_numbers[shuffled])
        waiting = shuffled[np.argsort(turn, kind="stable")].tolist()
        hands = []
        while waiting:
            hand, waiting = waiting[: self._photos_per_family], waiting[self._photos_per_family :]
            first_group = self._group_numbers[hand[0]]
            if all(self._group_numbers[photo] == first_group for photo in hand):
                if len(hand) == self._photos_per_family:
                    waiting.insert(0, hand.pop())
                hand.append(self._generator.choice(photos[self._group_numbers[photos] != first_group]))
            hands.append(self._fill(hand, photos))
        return hands

    def _fill(self, hand: list[int], photos: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring a short hand to K photos, repeating one only where the family has no other."""
        others = self._generator.permutation(np.setdiff1d(photos, hand))
        filled = np.concatenate([hand, others])[: self._photos_per_family]
        lacking = self._photos_per_family - len(filled)
        return np.concatenate([filled, self._generator.choice(photos, lacking)]).astype(np.int64)


def find_trainable(labels: NDArray[np.int64], groups: Sequence[str] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels whose photos come from two groups at least; fewer than two of them can't be trained on.

    Args:
        labels: (N,).
        groups: (N,).
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    pairs = np.unique(np.stack([np.asarray(labels), numbers]), axis=1)  # (2, distinct)
    found, counts = np.unique(pairs[0], return_counts=True)
    return found[counts >= 2]


def _number_within(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each element how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1])
    numbers = np.arange(len(values)) - np.repeat(starts, np.diff([*starts, len(values)]))
    result: NDArray[np.int64] = np.empty_like(numbers)
    result[order] = numbers
    return result
