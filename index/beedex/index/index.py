"""An index that is followed and changed: what a program holds for as long as it runs.

A `Searcher` answers from one moment. An `Index` gives the searcher of now: it notices what builds publish, operators
activate and other processes change, before every search, at the cost of two small reads.
"""

import hashlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import load_bundle
from beedex.index.changes import ChangeLog
from beedex.index.edits import Editor
from beedex.index.embedders import locate_embedder
from beedex.index.entries import Entry
from beedex.index.photos import read_photo
from beedex.index.searcher import EmbedderOnDemand, Identification, Neighbor, Searcher
from beedex.index.snapshots import load_snapshot
from beedex.index.vectors import check_unit_vectors
from beedex.index.versions import stamp_pointer

if TYPE_CHECKING:
    from beedex.index.embedder import Photo

__all__ = ["Description", "Index"]


class Description(TypedDict, total=False):
    """What may be said of a photo beside its family, as in `Entry`.

    Attributes:
        path: what it is called; the file's name, or its sha256, if left out.
    """

    path: str
    group: str | None
    species: str
    source: str
    license: str
    credit: str


class Index:
    """An index directory; a context manager. Safe from any thread.

    Args:
        directory: what `beedex index build` wrote.

    Raises:
        IndexDirectoryError: there is no index, or its current snapshot is damaged.
        BundleError: the index lacks the embedder that made it.

    Example:
        >>> with Index.open("index") as index:
        ...     entry = index.upsert("more/mason/mason_000.jpg", "mason")
        ...     print(index.neighbors("more/mason/mason_000.jpg", 1)[0].entry == entry)
        ...     print(index.delete(entry.entry_id).path)
        True
        mason_000.jpg
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._changes = ChangeLog(directory)
        self._lock = threading.Lock()
        # Held between looking at what is there and changing it.
        self._change_lock = threading.Lock()
        self._embedder: EmbedderOnDemand | None = None
        self._searcher: Searcher | None = None
        self._state: tuple[object, ...] = ()
        self._pointer: tuple[int, ...] = ()
        self._is_closed = False
        try:
            _ = self.searcher
        except BaseException:
            self._changes.close()
            raise

    @classmethod
    def open(cls, directory: Path | str) -> Self:
        """Open an index; raises as the class does."""
        return cls(Path(directory))

    @property
    def searcher(self) -> Searcher:
        """What answers from the index as it is now.

        Raises:
            IndexDirectoryError: the snapshot that was published or activated is damaged.
            ValueError: the index is closed.
        """
        with self._lock:
            if self._is_closed:
                raise ValueError(f"the index {self.directory} is closed; open it again")
            changes_version = self._changes.version()
            state = (changes_version, stamp_pointer(self.directory))
            if self._searcher is None or state != self._state:
                self._searcher = self._open_searcher()
                # Both were read before what they stand for: what came in between is seen by the next search.
                self._state = state
            return self._searcher

    @property
    def version(self) -> int:
        """The number of the current snapshot."""
        return self.searcher.snapshot.version

    def families(self) -> dict[str, int]:
        """Return the number of entries by family, sorted by name."""
        return self.searcher.families()

    def identify(
        self, query: "NDArray[np.float32] | Photo", k: int = 10, *, exclude: str | None = None
    ) -> Identification:
        """Decide the family of a photo; see `Searcher.identify`."""
        return self.searcher.identify(query, k, exclude=exclude)

    def neighbors(
        self,
        query: "NDArray[np.float32] | Photo",
        k: int = 10,
        *,
        exclude: str | None = None,
        families: Collection[str] | None = None,
    ) -> tuple[Neighbor, ...]:
        """Find the nearest entries; see `Searcher.neighbors`."""
        return self.searcher.neighbors(query, k, exclude=exclude, families=families)

    def upsert(
        self,
        photo: Path | str | bytes,
        family: str,
        *,
        vector: NDArray[np.float32] | None = None,
        **described: Unpack[Description],
    ) -> Entry:
        """Put a photo in, or change what is said of one that is there.

        It is on the disk, and every search finds it, when this returns.

        Args:
            photo: a file, or its bytes; the index keeps a copy, to embed it anew when the embedder changes.
            family: its label.
            vector: (D,) the photo's embedding by the index's embedder, if it is known; None to compute it.
            described: what else is said of it.

        Raises:
            PhotoError: the photo can't be read or decoded; nothing has changed.
            ValueError: the family is empty, the vector is no unit vector of D components, or another photo has the
                same entry id.
            IndexDirectoryError: the index can't be written; nothing has changed.
        """
        if not family.strip():
            raise ValueError(f"an entry needs a family, received {family!r}")
        data = photo if isinstance(photo, bytes) else read_photo(Path(photo))
        searcher = self.searcher
        embedding = searcher.embed(data) if vector is None else vector
        check_unit_vectors(embedding[np.newaxis], searcher.dimension)
        sha256 = hashlib.sha256(data).hexdigest()
        described.setdefault("path", sha256 if isinstance(photo, bytes) else _show_name(Path(photo)))
        entry = Entry(sha256=sha256, family=family, **described)
        with self._edit() as editor:
            if editor.searcher.fingerprint != searcher.fingerprint:
                # Another embedder was published or activated meanwhile: the vector would have to wait for a build.
                embedding = editor.searcher.embed(data)
            editor.put(entry, embedding, photo=data)
        return entry

    def relabel(self, entry_id: str, family: str) -> Entry:
        """Say that an entry is of another family; as durable as `upsert`.

        Raises:
            ValueError: that is no entry id, or the family is empty.
            LookupError: there is no such entry.
            IndexDirectoryError: the index can't be written; nothing has changed.
        """
        if not family.strip():
            raise ValueError(f"an entry needs a family, received {family!r}")
        with self._edit() as editor:
            entry = replace(editor.entry(entry_id), family=family)
            editor.describe(entry)
        return entry

    def delete(self, entry_id: str) -> Entry:
        """Take an entry out, and return what was known of it; as durable as `upsert`.

        Its photo stays in the gallery, and is left out of the builds to come until it is put in again or the gallery
        gives it another family.

        Raises:
            ValueError: that is no entry id.
            LookupError: there is no such entry.
            IndexDirectoryError: the index can't be written; nothing has changed.
        """
        with self._edit() as editor:
            return editor.take_out(entry_id)

    def close(self) -> None:
        """Free the network and the files; searchers that were taken from it go on answering vectors."""
        with self._lock:
            self._is_closed = True
            self._changes.close()
            if self._embedder is not None:
                self._embedder.close()

    @contextmanager
    def _edit(self) -> Iterator[Editor]:
        with self._change_lock:
            yield Editor(self.searcher, self._changes)

    def _open_searcher(self) -> Searcher:
        # Before the snapshot: a build settles changes once they are part of the current one.
        changes = [change for change in self._changes.read() if not change.is_settled]
        former = self._searcher
        # By the pointer and not by the number: once the newest snapshots were pruned, their numbers come again.
        pointer = stamp_pointer(self.directory)
        if former is not None and pointer == self._pointer:
            return Searcher(former.snapshot, former.bundle, changes=changes, embedder=self._embedder)
        snapshot = load_snapshot(self.directory)
        bundle = load_bundle(locate_embedder(self.directory, snapshot.manifest.fingerprint), verify=False)
        if former is None or former.fingerprint != snapshot.manifest.fingerprint:
            # A search that is under way may still use the former one: it is freed with its last user.
            self._embedder = EmbedderOnDemand(bundle)
        self._pointer = pointer
        return Searcher(snapshot, bundle, changes=changes, embedder=self._embedder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _show_name(path: Path) -> str:
    # A name that is no UTF-8 can't be stored or sent.
    return path.name.encode("utf-8", "backslashreplace").decode()
