"""Edits: changes of single entries, judged by what is known of them before they are written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.index.changes import ChangeLog
from beedex.index.entries import Entry, parse_entry_id
from beedex.index.searcher import Searcher
from beedex.index.vectors import check_unit_vectors

__all__ = ["Editor", "TakenIdError"]


class TakenIdError(ValueError):
    """Another photo has the same entry id."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What an editor made of a photo: an entry with its vector, or nothing."""

    entry: Entry | None
    vector: NDArray[np.float32] | None


class Editor:
    """Makes edits one after another; each sees those before it. For one thread at a time.

    Whoever makes an editor holds off other edits of the process, and searchers see what it wrote once they are opened
    again: it lives for a moment.

    Args:
        searcher: of the index as it is now.
        changes: where edits are written.

    Attributes:
        searcher: as given; vectors must come from its embedder.
    """

    def __init__(self, searcher: Searcher, changes: ChangeLog) -> None:
        self.searcher = searcher
        self._changes = changes
        self._written: dict[int, _Written] = {}

    def entry(self, entry_id: str) -> Entry:
        """Return what is known of an entry.

        Raises:
            ValueError: that is no entry id.
            LookupError: there is no such entry.
        """
        written = self._written.get(parse_entry_id(entry_id))
        if written is None:
            return self.searcher.view.entry(entry_id)
        if written.entry is None:
            raise LookupError(f"entry {entry_id} was taken out")
        return written.entry

    def find(self, sha256: str) -> Entry | None:
        """Return what is known of a photo; None if it is not indexed.

        Raises:
            TakenIdError: another photo has its entry id.
        """
        try:
            known = self.entry(sha256[:16])
        except LookupError:
            return None
        if known.sha256 != sha256:
            raise TakenIdError(
                f"the photo's entry id {known.entry_id} is that of another one, {known.path}; save either photo anew, "
                "which changes its bytes"
            )
        return known

    def put(self, entry: Entry, vector: NDArray[np.float32], *, photo: bytes) -> None:
        """Put a photo in, or something else in place of what is known of it; it is on the disk when this returns.

        Args:
            entry: what the photo is.
            vector: (D,) its embedding by the index's embedder.
            photo: its bytes, of which the index keeps a copy.

        Raises:
            TakenIdError: another photo has its entry id.
            ValueError: the vector is no unit vector of D components.
            IndexDirectoryError: the index can't be written. Whichever is raised, nothing has changed.
        """
        check_unit_vectors(vector[np.newaxis], self.searcher.dimension)
        self.find(entry.sha256)
        self._write(entry, vector, photo)

    def describe(self, entry: Entry) -> None:
        """Say something else of an indexed photo; as durable as `put`.

        Raises:
            LookupError: the photo is not indexed.
            IndexDirectoryError: the index can't be written; nothing has changed.
        """
        written = self._written.get(entry.id64)
        vector = self.searcher.view.vector(entry.entry_id) if written is None else written.vector
        if vector is None:
            raise LookupError(f"entry {entry.entry_id} was taken out")
        self._write(entry, vector, None)

    def take_out(self, entry_id: str) -> Entry:
        """Take an entry out, and return what was known of it; as durable as `put`.

        Raises:
            ValueError: that is no entry id.
            LookupError: there is no such entry.
            IndexDirectoryError: the index can't be written; nothing has changed.
        """
        entry = self.entry(entry_id)
        self._changes.take_out(entry.sha256, gallery_family=self._read_published_family(entry_id))
        self._written[entry.id64] = _Written(None, None)
        return entry

    def _write(self, entry: Entry, vector: NDArray[np.float32], photo: bytes | None) -> None:
        family_before = self._read_published_family(entry.entry_id)
        self._changes.put(entry, vector, self.searcher.fingerprint, photo=photo, gallery_family=family_before)
        self._written[entry.id64] = _Written(entry, vector)

    def _read_published_family(self, entry_id: str) -> str | None:
        """Return what the snapshot says of a photo; where no change was made before, the gallery said so."""
        try:
            return self.searcher.snapshot.entry(entry_id).family
        except LookupError:
            return None
