"""Answering queries from one snapshot: the nearest entries, and the family decision."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.decision import EVIDENCE_NEIGHBORS, Calibration, Decision, decide
from beedex.index.embedders import locate_embedder
from beedex.index.entries import Entry, parse_entry_id
from beedex.index.errors import FingerprintMismatchError
from beedex.index.snapshots import Snapshot, load_snapshot
from beedex.index.vectors import NO_ID

__all__ = ["Identification", "Neighbor", "Searcher"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbor:
    """An entry that a search found, and its cosine with the query in [-1, 1]."""

    entry: Entry
    similarity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Identification:
    """A family decision and the nearest entries, which are part of its evidence."""

    decision: Decision
    neighbors: tuple[Neighbor, ...]


class Searcher:
    """A snapshot with its embedder's calibration. Safe from any thread; needs neither OpenVINO nor the photos.

    It keeps answering from the snapshot that it was opened with: open another one to follow the index.

    Attributes:
        snapshot: what is searched.
        bundle: the embedder that made the vectors; queries must come from it.

    Example:
        >>> searcher = Searcher.open(Path("index"))  # doctest: +SKIP
        >>> searcher.identify(vector, 5).decision.family  # doctest: +SKIP
        'mason'
    """

    def __init__(self, snapshot: Snapshot, bundle: Bundle) -> None:
        expected, received = snapshot.manifest.fingerprint, bundle.card.fingerprint
        if received != expected:
            raise FingerprintMismatchError(
                f"snapshot {snapshot.version} was made by another embedder than {bundle.path}, expected fingerprint "
                f"{expected}, received {received}; use the embedder that made it or build the index again",
                expected=expected,
                received=received,
            )
        self.snapshot = snapshot
        self.bundle = bundle

    @classmethod
    def open(cls, index_dir: Path, version: int | None = None) -> Self:
        """Open the current snapshot of an index, or another one.

        Raises:
            IndexDirectoryError: there is no index, or the snapshot is missing or damaged.
            BundleError: the index lacks the embedder that made the snapshot.
        """
        snapshot = load_snapshot(index_dir, version)
        # Its files are checked by whoever runs the network; the calibration is in the card, which is read whole.
        bundle = load_bundle(locate_embedder(index_dir, snapshot.manifest.fingerprint), verify=False)
        return cls(snapshot, bundle)

    @property
    def fingerprint(self) -> str:
        """Of the embedder that queries must come from."""
        return self.snapshot.manifest.fingerprint

    @property
    def dimension(self) -> int:
        """D of the vectors."""
        return self.snapshot.manifest.dimension

    @property
    def calibration(self) -> Calibration | None:
        """How similarities are read; None if the embedder was trained on too few photos to fit one."""
        return self.bundle.card.calibration

    def families(self) -> dict[str, int]:
        """Return the number of entries by family, sorted by name."""
        return dict(sorted(self.snapshot.manifest.families.items()))

    def vector_of(self, entry_id: str) -> NDArray[np.float32]:
        """Return an entry's embedding, (D,).

        Raises:
            ValueError: that is no entry id.
            LookupError: the snapshot has no such entry.
        """
        return self.snapshot.vector(entry_id)

    def neighbors(
        self,
        vector: NDArray[np.float32],
        k: int,
        *,
        exclude: str | None = None,
        families: Collection[str] | None = None,
    ) -> tuple[Neighbor, ...]:
        """Find the nearest entries.

        Args:
            vector: (D,) float32 of norm 1.
            k: how many, at least 1; there may be fewer.
            exclude: an entry id that is not wanted, as that of the photo that is asked about.
            families: only entries of these are wanted; None for all.

        Returns:
            Nearest first; equal similarities in the order of their 64-bit ids.

        Raises:
            ValueError: the vector is not of that kind, *k* is below 1, or *exclude* is no entry id.
        """
        _check_count(k)
        ids, similarities = self._search(vector, k, exclude, families)
        return self._describe(ids, similarities)

    def identify(self, vector: NDArray[np.float32], k: int, *, exclude: str | None = None) -> Identification:
        """Decide the family of a photo.

        The decision rests on up to `EVIDENCE_NEIGHBORS` entries, however few neighbors are asked for.

        Args:
            vector: (D,) float32 of norm 1.
            k: how many neighbors to show, at least 1.
            exclude: an entry id whose photo is not to count as evidence.

        Raises:
            ValueError: as `neighbors`, or there is no entry but the excluded one.
        """
        _check_count(k)
        ids, similarities = self._search(vector, max(k, EVIDENCE_NEIGHBORS), exclude, None)
        decision = decide(
            similarities[:EVIDENCE_NEIGHBORS],
            self.snapshot.entries.list_families(ids[:EVIDENCE_NEIGHBORS]),
            sizes=self._count_photos(exclude),
            calibration=self.calibration,
        )
        return Identification(decision=decision, neighbors=self._describe(ids[:k], similarities[:k]))

    def _count_photos(self, exclude: str | None) -> dict[str, int]:
        """Return the size of each family that has a photo left."""
        sizes = dict(self.families())
        if exclude is not None:
            sizes[self.snapshot.entry(exclude).family] -= 1
        return {family: size for family, size in sizes.items() if size}

    def _search(
        self, vector: NDArray[np.float32], k: int, exclude: str | None, families: Collection[str] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids and similarities of at most *k* entries."""
        if vector.ndim != 1:
            raise ValueError(f"a query is one vector, expected shape ({self.dimension},), received {vector.shape}")
        unwanted = None if exclude is None else parse_entry_id(exclude)
        allowed = None if families is None else self.snapshot.entries.select_families(families)
        wanted = min(k + (unwanted is not None), len(self.snapshot.vectors))
        hits = self.snapshot.vectors.search(vector[np.newaxis], wanted, allowed=allowed)
        ids, similarities = hits.ids[0], hits.similarities[0]  # (K,) each
        is_kept = (ids != NO_ID) if unwanted is None else (ids != NO_ID) & (ids != unwanted)
        return ids[is_kept][:k], similarities[is_kept][:k]

    def _describe(self, ids: NDArray[np.int64], similarities: NDArray[np.float32]) -> tuple[Neighbor, ...]:
        entries = self.snapshot.entries.read(ids)
        return tuple(
            Neighbor(entry=entry, similarity=similarity)
            for entry, similarity in zip(entries, similarities.tolist(), strict=True)
        )


def _check_count(k: int) -> None:
    if k < 1:
        raise ValueError(f"a search needs a number of neighbors, expected k >= 1, received k={k}")
