"""P x K batches: P families with K photos each, in which every photo has a positive of another group.

A positive of the same group (the same animal, the next frame) would teach the network to recognise individuals and
backgrounds. So a family takes part when its photos come from two groups at least.

An epoch is planned when it begins. Each family's photos are dealt, group by group, to as many hands of up to K as it
takes for none to be full of one group; short hands are filled with other photos of the family. A step takes a hand from
each of the P families that have most left. Both are as few as they can be, so the number of steps is known beforehand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchSummary", "Batches", "find_trainable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSummary:
    """What batches are made of, in exact numbers.

    Attributes:
        families: that take part.
        photos: that take part; each comes at least once an epoch.
        left_out: photos of families with a single group.
        families_per_batch: P, at most `families`.
        photos_per_family: K.
        steps_per_epoch: batches.
        pairs_per_batch: (anchor, positive), in order.
        triplets_per_batch: (anchor, positive, negative).
        pairs_per_epoch: the same over all steps.
        triplets_per_epoch: the same over all steps.
    """

    families: int
    photos: int
    left_out: int
    families_per_batch: int
    photos_per_family: int
    steps_per_epoch: int
    pairs_per_batch: int
    triplets_per_batch: int
    pairs_per_epoch: int
    triplets_per_epoch: int


class Batches:
    """An endless source of batches of labelled, grouped photos.

    A single family with two groups is enough for batches, but they hold no triplet.

    Args:
        labels: (N,) family of each photo, as integers.
        groups: (N,) group of each photo; equal strings are one group.
        families_per_batch: P, at least 1; all families are taken where there are fewer.
        photos_per_family: K, at least 2.
        generator: the only source of chance, as from `numpy.random.default_rng`; nothing else may draw from it.

    Attributes:
        trained: (M,) indices of the photos that take part, ascending.
        steps_per_epoch: how many batches an epoch has.

    Raises:
        ValueError: P is below 1, K is below 2, or no family has two groups.

    Example:
        >>> batches = Batches([0, 0, 1, 1], ["a", "b", "c", "d"], families_per_batch=2, photos_per_family=2,
        ...                   generator=np.random.default_rng(0))
        >>> sorted(batches.draw().tolist())
        [0, 1, 2, 3]
        >>> batches.describe().triplets_per_batch
        8
    """

    def __init__(
        self,
        labels: Sequence[int] | NDArray[np.int64],
        groups: Sequence[str] | NDArray[np.str_],
        *,
        families_per_batch: int,
        photos_per_family: int,
        generator: np.random.Generator,
    ) -> None:
        if families_per_batch < 1 or photos_per_family < 2:
            raise ValueError(
                "`families_per_batch` must be at least 1 and `photos_per_family` at least 2. "
                f"Received: families_per_batch={families_per_batch}, photos_per_family={photos_per_family}"
            )
        numbers = np.asarray(labels)
        trainable = find_trainable(numbers, groups)
        if len(trainable) == 0:
            raise ValueError(
                "batches need a family with photos of two groups, "
                f"received none such among {len(np.unique(numbers))} families of {len(numbers)} photos"
            )
        self._generator = generator
        self._families = _split_families(numbers, np.asarray(groups), trainable)
        self._families_per_batch = min(families_per_batch, len(self._families))
        self._photos_per_family = photos_per_family
        self._photos = len(numbers)
        self._hands = np.array([family.count_hands(photos_per_family) for family in self._families])
        self.trained = np.sort(np.concatenate([family.photos for family in self._families]))
        # A family gives a step one hand at most, and a step takes P: these bounds are met by always taking the
        # families that have most left.
        self.steps_per_epoch = max(int(self._hands.max()), -(-int(self._hands.sum()) // self._families_per_batch))
        self._epoch = -1
        self._begin_epoch()

    @property
    def epoch(self) -> int:
        """The number, from 0, of the epoch that the last batch drawn belongs to."""
        return self._epoch

    def draw(self) -> NDArray[np.int64]:
        """Return the next batch, (P * K,) indices, family after family."""
        if self._drawn == self.steps_per_epoch:
            self._begin_epoch()
        batch: NDArray[np.int64] = self._plan[self._drawn]
        self._drawn += 1
        return batch

    def draw_epoch(self) -> Iterator[NDArray[np.int64]]:
        """Yield what is left of an epoch, or a whole one when none has begun; every trained photo comes in it."""
        left = self.steps_per_epoch - self._drawn
        for _ in range(left or self.steps_per_epoch):
            yield self.draw()

    def describe(self) -> BatchSummary:
        """Count photos, steps, pairs and triplets."""
        size = self._families_per_batch * self._photos_per_family
        pairs = size * (self._photos_per_family - 1)
        triplets = pairs * (size - self._photos_per_family)
        return BatchSummary(
            families=len(self._families),
            photos=len(self.trained),
            left_out=self._photos - len(self.trained),
            families_per_batch=self._families_per_batch,
            photos_per_family=self._photos_per_family,
            steps_per_epoch=self.steps_per_epoch,
            pairs_per_batch=pairs,
            triplets_per_batch=triplets,
            pairs_per_epoch=pairs * self.steps_per_epoch,
            triplets_per_epoch=triplets * self.steps_per_epoch,
        )

    def state(self) -> dict[str, Any]:
        """Return, as JSON data of a few hundred bytes, what `restore` needs to draw the same batches from here on."""
        return {
            "epoch": self._epoch,
            "drawn": self._drawn,
            "photos": len(self.trained),
            "generator": self._state_before_epoch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of batches that were made with the same arguments; the generator's seed doesn't matter.

        Raises:
            ValueError: the state is of other batches.
        """
        if state["photos"] != len(self.trained) or not 0 <= state["drawn"] <= self.steps_per_epoch:
            raise ValueError(
                f"the state is of other batches: expected {len(self.trained)} photos and at most "
                f"{self.steps_per_epoch} steps, received {state['photos']} photos and step {state['drawn']}"
            )
        self._generator.bit_generator.state = state["generator"]
        self._epoch = state["epoch"] - 1
        self._begin_epoch()
        self._drawn = state["drawn"]

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._drawn = 0
        self._state_before_epoch: Any = self._generator.bit_generator.state
        schedule = self._schedule_families()  # (steps, P)
        places = np.argsort(schedule, axis=None, kind="stable")  # the first family's places, then the second's
        uses = np.bincount(schedule.ravel(), minlength=len(self._families))
        hands = [self._deal_hands(family, count) for family, count in zip(self._families, uses, strict=True)]
        plan = np.empty((schedule.size, self._photos_per_family), dtype=np.int64)
        plan[places] = np.concatenate(hands)
        self._plan = plan.reshape(self.steps_per_epoch, -1)  # (steps, P * K)

    def _schedule_families(self) -> NDArray[np.int64]:
        """Return (steps, P): which families meet in each step. Chance breaks ties, and those done come again last."""
        left = self._hands.astype(np.float64)
        schedule = np.empty((self.steps_per_epoch, self._families_per_batch), dtype=np.int64)
        for families in schedule:
            order = np.argpartition(-left - self._generator.random(len(left)), self._families_per_batch - 1)
            families[:] = order[: self._families_per_batch]
            left[families] -= 1
        return schedule

    def _deal_hands(self, family: "_Family", count: int) -> NDArray[np.int64]:
        """Return (count, K) photos; beyond the family's own number of hands they are dealt anew."""
        hands = family.deal(self._photos_per_family, self._generator)
        while len(hands) < count:
            hands = np.concatenate([hands, family.deal(self._photos_per_family, self._generator)])
        return hands[:count]


class _Family:
    """The photos of one family, (n,), and the number from 0 of each one's group within it."""

    def __init__(self, photos: NDArray[np.int64], groups: NDArray[np.int64]) -> None:
        self.photos = photos
        self._groups = groups
        self._sizes = np.bincount(groups)

    def count_hands(self, size: int) -> int:
        """Return the fewest hands of *size* in which all photos come and none is full of one group."""
        return max(-(-len(self.photos) // size), -(-int(self._sizes.max()) // (size - 1)))

    def deal(self, size: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return (hands, size) photos with two groups at least in each hand, in random order.

        A photo comes twice in a hand only where the family has no other.
        """
        count, total = self.count_hands(size), len(self.photos)
        rank = generator.permutation(len(self._sizes))[self._groups]
        order = np.lexsort((generator.random(total), rank))  # groups one after another
        # Dealt in turn: a group's photos stand together, so each hand gets at most size - 1 of it.
        places = np.arange(count * size).reshape(size, count).T.copy()  # (hands, size), numbers into `order`
        for column in range(total // count, size):
            short = np.flatnonzero(places[:, column] >= total)
            if short.size:
                places[short, column] = self._choose(places[short, :column], rank[order], generator)
        hands: NDArray[np.int64] = self.photos[order[generator.permutation(places)]]
        return hands

    def _choose(
        self, held: NDArray[np.int64], ranks: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Choose one more place for each hand (hands, held): of another group if it has only one, else a new one."""
        total = len(ranks)
        columns = held.shape[1]
        chosen: NDArray[np.int64] = generator.integers(max(total - columns, 0) or total, size=len(held))
        if columns < total:
            # A number among those that are not held becomes a place by stepping over the held ones, lowest first.
            for place in np.sort(held, axis=1).T:
                chosen[chosen >= place] += 1
        first = ranks[held[:, 0]]
        alone = np.flatnonzero((ranks[held] == first[:, np.newaxis]).all(axis=1))
        begins = np.searchsorted(ranks, first[alone], side="left")
        sizes = np.searchsorted(ranks, first[alone], side="right") - begins
        other: NDArray[np.int64] = generator.integers(total - sizes, size=len(alone))
        chosen[alone] = other + np.where(other >= begins, sizes, 0)
        return chosen


def find_trainable(
    labels: NDArray[np.int64], groups: Sequence[str] | NDArray[np.str_] | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the labels whose photos come from two groups at least; fewer than two of them can't be trained on.

    Args:
        labels: (N,).
        groups: (N,).
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    pairs = np.unique(np.stack([np.asarray(labels), numbers]), axis=1)  # (2, distinct)
    found, counts = np.unique(pairs[0], return_counts=True)
    return found[counts >= 2]


def _split_families(labels: NDArray[np.int64], groups: NDArray[np.str_], trainable: NDArray[np.int64]) -> list[_Family]:
    """Return the trainable families, in the order of their labels."""
    order = np.argsort(labels, kind="stable")
    begins = np.searchsorted(labels[order], trainable, side="left")
    ends = np.searchsorted(labels[order], trainable, side="right")
    parts = [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return [_Family(photos, np.unique(groups[photos], return_inverse=True)[1]) for photos in parts]
