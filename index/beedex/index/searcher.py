"""Answering queries from one view of an index: the nearest entries, and the family decision."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.calibration import Calibration
from beedex.index.changes import Change, ChangeLog
from beedex.index.decision import EVIDENCE_NEIGHBORS, Decision, decide
from beedex.index.embedded import EmbeddedPhoto
from beedex.index.embedders import locate_embedder
from beedex.index.entries import Entry, parse_entry_id
from beedex.index.errors import FingerprintMismatchError
from beedex.index.snapshots import Snapshot, load_snapshot
from beedex.index.view import View

if TYPE_CHECKING:
    from beedex.index.embedder import Embedder, Photo

__all__ = ["EmbedderOnDemand", "Identification", "Neighbor", "Searcher"]


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


class EmbedderOnDemand:
    """A bundle's network, compiled when the first photo comes. Safe from any thread.

    Args:
        bundle: whose files are checked then.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._lock = threading.Lock()
        self._embedder: Embedder | None = None

    def get(self) -> "Embedder":
        """Return the embedder.

        Raises:
            BundleError: the bundle is damaged.
        """
        from beedex.index.embedder import Embedder  # noqa: PLC0415 - looking up vectors needs no OpenVINO

        with self._lock:
            if self._embedder is None:
                self._embedder = Embedder.load(self._bundle.path)
            return self._embedder

    def close(self) -> None:
        """Free the network, if there is one."""
        with self._lock:
            if self._embedder is not None:
                self._embedder.close()
                self._embedder = None


class Searcher:
    """A view of an index with its embedder's calibration; a context manager. Safe from any thread.

    It keeps answering from the state that it was opened with: `beedex.index.index.Index` follows the index. Vectors
    are looked up without OpenVINO and without the photos.

    Args:
        snapshot: what is searched.
        bundle: the embedder that made the vectors; queries must come from it.
        changes: that came after the snapshot, oldest first.
        embedder: of that bundle, for queries that are photos; None for one of the searcher's own.

    Attributes:
        snapshot: as given.
        bundle: as given.
        view: the snapshot with the changes.

    Raises:
        FingerprintMismatchError: another embedder made the snapshot.

    Example:
        >>> with Searcher.open("index") as searcher:
        ...     print(searcher.identify("new-photo.jpg").decision.family)
        mason
    """

    def __init__(
        self,
        snapshot: Snapshot,
        bundle: Bundle,
        *,
        changes: Iterable[Change] = (),
        embedder: EmbedderOnDemand | None = None,
    ) -> None:
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
        self.view = View(snapshot, changes)
        self._sizes = self.view.count_families()
        self._own_embedder = EmbedderOnDemand(bundle) if embedder is None else None
        self._embedder = embedder or self._own_embedder

    @classmethod
    def open(cls, index_dir: Path | str, version: int | None = None) -> Self:
        """Open an index as it is now, or a snapshot as it was published.

        Raises:
            IndexDirectoryError: there is no index, or the snapshot is missing or damaged.
            BundleError: the index lacks the embedder that made the snapshot.
        """
        directory = Path(index_dir)
        changes: list[Change] = []
        if version is None:
            # Before the snapshot: a build settles changes once they are part of the current one.
            with ChangeLog(directory) as log:
                changes = [change for change in log.read() if not change.is_settled]
        snapshot = load_snapshot(directory, version)
        # Its files are checked by whoever runs the network; the calibration is in the card, which is read whole.
        bundle = load_bundle(locate_embedder(directory, snapshot.manifest.fingerprint), verify=False)
        return cls(snapshot, bundle, changes=changes)

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
        return dict(self._sizes)

    def vector_of(self, entry_id: str) -> NDArray[np.float32]:
        """Return an entry's embedding, (D,).

        Raises:
            ValueError: that is no entry id.
            LookupError: there is no such entry.
        """
        return self.view.vector(entry_id)

    def embed(self, photo: "Photo") -> NDArray[np.float32]:
        """Return the (D,) unit vector of a photo: a file, its bytes, or (H, W, 3) uint8 pixels.

        Raises:
            PhotoError: it can't be read or decoded.
            BundleError: the index's copy of the embedder is damaged.
        """
        return self._get_embedder().embed_photo(photo)

    def neighbors(
        self,
        query: "NDArray[np.float32] | Photo",
        k: int = 10,
        *,
        exclude: str | None = None,
        families: Collection[str] | None = None,
    ) -> tuple[Neighbor, ...]:
        """Find the nearest entries.

        Args:
            query: (D,) float32 of norm 1, or a photo as `embed` takes it.
            k: how many, at least 1; there may be fewer.
            exclude: an entry id that is not wanted, as that of the photo that is asked about.
            families: only entries of these are wanted; None for all.

        Returns:
            Nearest first; equal similarities in the order of their 64-bit ids.

        Raises:
            ValueError: the vector is not of that kind, *k* is below 1, or *exclude* is no entry id.
        """
        _check_count(k)
        ids, similarities = self._search(self._resolve(query), k, exclude, families)
        return self._describe(ids, similarities)

    def identify(
        self, query: "NDArray[np.float32] | EmbeddedPhoto | Photo", k: int = 10, *, exclude: str | None = None
    ) -> Identification:
        """Decide the family of a photo.

        The decision rests on up to `EVIDENCE_NEIGHBORS` entries, however few neighbors are asked for. Whether the photo
        is of a known family is told by its features; of a vector alone by the evidence, and the reason says so.

        Args:
            query: (D,) float32 of norm 1, what `Embedder.submit_whole` gives, or a photo as `embed` takes it.
            k: how many neighbors to show, at least 1.
            exclude: an entry id whose photo is not to count as evidence.

        Raises:
            ValueError: as `neighbors`, or there is no entry but the excluded one.
        """
        _check_count(k)
        vector, features = self._resolve_whole(query)
        ids, similarities = self._search(vector, max(k, EVIDENCE_NEIGHBORS), exclude, None)
        decision = decide(
            similarities[:EVIDENCE_NEIGHBORS],
            self.view.list_families(ids[:EVIDENCE_NEIGHBORS]),
            sizes=self._count_photos(exclude),
            calibration=self.calibration,
            familiarity=self._measure(features),
            untrained=self._sizes.keys() - set(self.bundle.card.families),
        )
        return Identification(decision=decision, neighbors=self._describe(ids[:k], similarities[:k]))

    def close(self) -> None:
        """Free the network, if this searcher compiled one."""
        if self._own_embedder is not None:
            self._own_embedder.close()

    def _resolve(self, query: "NDArray[np.float32] | Photo") -> NDArray[np.float32]:
        return query if _is_vector(query) else self.embed(cast("Photo", query))

    def _resolve_whole(
        self, query: "NDArray[np.float32] | EmbeddedPhoto | Photo"
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the vector (D,) and, of a photo, the features (F,)."""
        if not isinstance(query, EmbeddedPhoto):
            if _is_vector(query):
                return query, None
            embedder = self._get_embedder()
            query = embedder.submit_whole(embedder.prepare_photo(cast("Photo", query))).result()
        return query.vector, query.features

    def _measure(self, features: NDArray[np.float32] | None) -> float | None:
        """Return how familiar features (F,) are, in (0, 1]; None if that can't tell of the index's families."""
        # A photo of a trained family that the index lacks is familiar, and yet of none of the index's families.
        if features is None or not self._sizes.keys() >= set(self.bundle.card.families):
            return None
        familiarity = self.bundle.read_familiarity()
        return None if familiarity is None else float(familiarity.measure(features[np.newaxis])[0])

    def _get_embedder(self) -> "Embedder":
        if self._embedder is None:
            raise ValueError("this searcher is closed")
        return self._embedder.get()

    def _count_photos(self, exclude: str | None) -> dict[str, int]:
        """Return the size of each family that has a photo left."""
        sizes = self.families()
        if exclude is not None:
            sizes[self.view.entry(exclude).family] -= 1
        return {family: size for family, size in sizes.items() if size}

    def _search(
        self, vector: NDArray[np.float32], k: int, exclude: str | None, families: Collection[str] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids and similarities of at most *k* entries."""
        if vector.ndim != 1:
            raise ValueError(f"a query is one vector, expected shape ({self.dimension},), received {vector.shape}")
        if exclude is None:
            return self.view.search(vector, k, families=families)
        unwanted = parse_entry_id(exclude)
        ids, similarities = self.view.search(vector, k + 1, families=families)
        is_kept = ids != unwanted
        return ids[is_kept][:k], similarities[is_kept][:k]

    def _describe(self, ids: NDArray[np.int64], similarities: NDArray[np.float32]) -> tuple[Neighbor, ...]:
        entries = self.view.read(ids)
        pairs = zip(entries, similarities.tolist(), strict=True)
        return tuple([Neighbor(entry=entry, similarity=similarity) for entry, similarity in pairs])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_vector(query: "NDArray[np.float32] | Photo") -> TypeGuard[NDArray[np.float32]]:
    # Pixels are uint8; any other array is to be refused as a vector.
    return isinstance(query, np.ndarray) and query.dtype != np.uint8


def _check_count(k: int) -> None:
    if k < 1:
        raise ValueError(f"a search needs a number of neighbors, expected k >= 1, received k={k}")
