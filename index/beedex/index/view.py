"""A view: what a search sees, which is a snapshot and the changes that came after it.

Shapes: N entries, K neighbors, D dimension.
"""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from beedex.index.changes import Change
from beedex.index.entries import Entry, parse_entry_id
from beedex.index.map import PLACING_NEIGHBORS
from beedex.index.snapshots import Snapshot
from beedex.index.vectors import NO_ID, ExactStore

__all__ = ["View"]


class View:
    """What is in an index at one moment; it never changes. Safe from any thread.

    A change hides what the snapshot says of its photo; the entry that was put in its place is searched beside the
    snapshot. A change whose vector another embedder made waits for the next build: until then the snapshot stands.

    Attributes:
        snapshot: what was published last.
        changes: that are not part of it, oldest first.
    """

    def __init__(self, snapshot: Snapshot, changes: Iterable[Change] = ()) -> None:
        self.snapshot = snapshot
        fingerprint = snapshot.manifest.fingerprint
        self.changes = tuple(change for change in changes if change.entry is None or change.fingerprint == fingerprint)
        self._added: dict[int, Entry] = {}
        # No id twice: a change is the last one of its photo.
        changed = [parse_entry_id(change.sha256[:16]) for change in self.changes]
        self._hidden: NDArray[np.int64] = np.intersect1d(np.array(changed, np.int64), snapshot.entries.ids)
        self._beside = ExactStore(snapshot.manifest.dimension)
        vectors = []
        for change in self.changes:
            if change.entry is not None and change.vector is not None:
                self._added[change.entry.id64] = change.entry
                vectors.append(change.vector)
        if vectors:
            self._beside.add(np.array(list(self._added), np.int64), np.stack(vectors))

    def __len__(self) -> int:
        return len(self.snapshot.vectors) - len(self._hidden) + len(self._added)

    def list_ids(self) -> NDArray[np.int64]:
        """Return the ids of all entries, (N,), ascending."""
        own = np.setdiff1d(self.snapshot.entries.ids, self._hidden, assume_unique=True)
        return np.union1d(own, np.array(list(self._added), np.int64))

    def count_families(self) -> dict[str, int]:
        """Return the number of entries by family, sorted by name; families without an entry are left out."""
        counts = dict(self.snapshot.manifest.families)
        if self.changes:
            for family in self.snapshot.entries.list_families(self._hidden):
                counts[family] -= 1
            for entry in self._added.values():
                counts[entry.family] = counts.get(entry.family, 0) + 1
        return {family: count for family, count in sorted(counts.items()) if count}

    def entry(self, entry_id: str) -> Entry:
        """Return one entry.

        Raises:
            ValueError: that is no entry id.
            LookupError: there is no such entry.
        """
        return self.read(np.array([parse_entry_id(entry_id)], np.int64))[0]

    def vector(self, entry_id: str) -> NDArray[np.float32]:
        """Return one entry's embedding, (D,); raises as `entry` does."""
        id64 = self.entry(entry_id).id64
        store = self._beside if id64 in self._added else self.snapshot.vectors
        return store.get(np.array([id64], np.int64)).reshape(-1)

    def read(self, ids: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of (K,) ids, in that order.

        Raises:
            LookupError: an id is unknown.
        """
        if not self.changes:
            return self.snapshot.entries.read(ids)
        gone = set(np.intersect1d(ids, self._hidden).tolist()) - self._added.keys()
        if gone:
            raise LookupError(f"entry {min(gone) % 2**64:016x} was taken out, expected one of the {len(self)} entries")
        own = [id64 for id64 in ids.tolist() if id64 not in self._added]
        found = dict(zip(own, self.snapshot.entries.read(np.array(own, np.int64)), strict=True))
        return [self._added.get(id64) or found[id64] for id64 in ids.tolist()]

    def list_families(self, ids: NDArray[np.int64]) -> list[str]:
        """Return the family of each of (K,) ids, all of which must be known."""
        if not self._added:
            return self.snapshot.entries.list_families(ids)
        is_own = np.array([id64 not in self._added for id64 in ids.tolist()], bool)
        own = iter(self.snapshot.entries.list_families(ids[is_own]))
        return [
            next(own) if mine else self._added[id64].family
            for id64, mine in zip(ids.tolist(), is_own.tolist(), strict=True)
        ]

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        *,
        families: Collection[str] | None = None,
        effort: int | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids (K,) and cosines (K,) of the at most *k* nearest entries, nearest first, ties by id.

        Args:
            query: (D,) float32 of norm 1.
            k: at least 1.
            families: only entries of these are wanted; None for all.
            effort: how much of an approximate store is looked at; see `VectorStore.search`.

        Raises:
            ValueError: the query is not of that kind, or *k* is below 1.
        """
        allowed = None if families is None else self.snapshot.entries.select_families(families)
        ids, cosines = self._search_snapshot(query, k, allowed, effort)
        if not self._added:
            return ids, cosines
        wanted = None
        if families is not None:
            wanted = np.array([id64 for id64, entry in self._added.items() if entry.family in families], np.int64)
        hits = self._beside.search(query[np.newaxis], k, allowed=wanted)
        is_found = hits.ids[0] != NO_ID
        ids = np.concatenate([ids, hits.ids[0][is_found]])
        cosines = np.concatenate([cosines, hits.similarities[0][is_found]])
        order = np.lexsort((ids, -cosines))[:k]
        return ids[order], cosines[order]

    def map_positions(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Return where each entry lies in the plane: ids (N,), ascending, and positions (N, 2) within [-1, 1].

        An entry that came after the snapshot lies where it falls as a query; see `place`. None if the snapshot has no
        map.
        """
        drawn = self.snapshot.map
        if drawn is None:
            return None
        is_kept = ~np.isin(drawn.ids, self._hidden)
        if not self._added:
            return drawn.ids[is_kept], drawn.positions[is_kept]
        added = self._beside.ids
        hits = self.snapshot.vectors.search(self._beside.get(added), PLACING_NEIGHBORS)
        placed, _ = drawn.place_each(hits.ids, hits.similarities)
        ids = np.concatenate([drawn.ids[is_kept], added])
        order = np.argsort(ids)
        return ids[order], np.concatenate([drawn.positions[is_kept], placed])[order]

    def place(self, query: NDArray[np.float32]) -> tuple[float, float] | None:
        """Return where a query falls on the snapshot's map, by `GalleryMap.place`; None if it has none.

        Entries that changes hide still say where their likes lie.

        Args:
            query: (D,) float32 of norm 1.

        Raises:
            ValueError: the query is not of that kind.
        """
        if self.snapshot.map is None:
            return None
        hits = self.snapshot.vectors.search(query[np.newaxis], PLACING_NEIGHBORS)
        return self.snapshot.map.place(hits.ids[0], hits.similarities[0])

    def _search_snapshot(
        self, query: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search for more than *k* until so many are left that no change hides, or there are no more."""
        store = self.snapshot.vectors
        width = min(k, len(store))
        while True:
            hits = store.search(query[np.newaxis], width, allowed=allowed, effort=effort)
            ids, cosines = hits.ids[0], hits.similarities[0]  # (width,) each
            if len(self._hidden) == 0 and ids[-1] != NO_ID:
                return ids, cosines
            is_found = ids != NO_ID
            is_kept = is_found & ~np.isin(ids, self._hidden)
            if is_kept.sum() >= k or width == len(store) or not is_found.all():
                return ids[is_kept][:k], cosines[is_kept][:k]
            width = min(len(store), max(2 * width, k + int((is_found & ~is_kept).sum())))
