"""Snapshots: immutable, numbered, checksummed states of an index.

    INDEX/snapshots/000007/
        vectors.faiss     see `beedex.index.vectors`
        entries.sqlite    see `beedex.index.entries`
        map.npy           see `beedex.index.map`; snapshots before schema version 3 have none
        manifest.json     written last; holds the sha256 of the others and its own

A snapshot appears by a rename when it is whole, and never changes afterwards. Equal entries, vectors and settings of
the search give equal bytes in vectors and entries, an approximate search on processors of one kind; the map goes on
from that of the snapshot that was current before. Only the manifest says when.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.durable import sha256_file
from beedex.index.entries import Entry, EntryTable, parse_entry_id
from beedex.index.errors import FingerprintMismatchError, SnapshotError
from beedex.index.manifest import SnapshotManifest, parse_manifest
from beedex.index.map import GalleryMap, decode_map
from beedex.index.vectors import (
    EXACT_PLAN,
    VectorStore,
    load_store,
)
from beedex.index.versions import (
    current_version,
    explain_os_errors,
    find_earlier,
    hold_pointer,
    list_snapshots,
    locate_snapshot,
    point_at,
    require_current,
)

__all__ = [
    "ENTRIES_NAME",
    "MANIFEST_NAME",
    "MAP_NAME",
    "SNAPSHOTS_KEPT",
    "VECTORS_NAME",
    "Snapshot",
    "activate_snapshot",
    "current_version",
    "list_snapshots",
    "load_manifest",
    "load_map",
    "load_snapshot",
    "rollback_snapshot",
]

# A week of working days to go back to.
SNAPSHOTS_KEPT = 5

MANIFEST_NAME = "manifest.json"
VECTORS_NAME = "vectors.faiss"
ENTRIES_NAME = "entries.sqlite"
MAP_NAME = "map.npy"


class Snapshot:
    """A snapshot in memory, checked; it stays usable when its files are deleted.

    Attributes:
        manifest: what it holds and who made it.
        vectors: the embeddings, under the entries' 64-bit ids. Not to be changed.
        entries: what is known of each photo.
        map: where each entry lies in the plane; None in a snapshot that was made before there were maps.
    """

    def __init__(
        self, manifest: SnapshotManifest, vectors: VectorStore, entries: EntryTable, gallery_map: GalleryMap | None
    ) -> None:
        self.manifest = manifest
        self.vectors = vectors
        self.entries = entries
        self.map = gallery_map

    @property
    def version(self) -> int:
        """The snapshot's number."""
        return self.manifest.version

    def entry(self, entry_id: str) -> Entry:
        """Return one entry.

        Raises:
            ValueError: that is no entry id.
            LookupError: this snapshot has no such entry.
        """
        return self.entries.read(np.array([parse_entry_id(entry_id)], np.int64))[0]

    def vector(self, entry_id: str) -> NDArray[np.float32]:
        """Return one entry's embedding, (D,); raises as `entry` does."""
        vectors = self.vectors.get(np.array([self.entry(entry_id).id64], np.int64))  # (1, D)
        return vectors.reshape(-1)


def load_snapshot(index_dir: Path, version: int | None = None, *, expected_fingerprint: str | None = None) -> Snapshot:
    """Read a snapshot and check every byte of it.

    Args:
        index_dir: the index directory.
        version: which one; None for the current.
        expected_fingerprint: of the embedder that queries come from.

    Raises:
        IndexDirectoryError: there is no index, or none was published yet.
        SnapshotError: the snapshot is missing, half-copied or damaged.
        FingerprintMismatchError: another embedder made it.
    """
    if version is not None:
        return _load(index_dir, version, expected_fingerprint)
    while True:
        current = require_current(index_dir)
        try:
            return _load(index_dir, current, expected_fingerprint)
        except SnapshotError:
            # While this reader was at it, builds may have published and deleted the one it was told to read.
            if current_version(index_dir) == current:
                raise


def load_manifest(index_dir: Path, version: int) -> SnapshotManifest:
    """Read what a snapshot says of itself, without reading its vectors.

    Raises:
        SnapshotError: the snapshot is missing or half-copied, or its manifest is damaged.
    """
    path = locate_snapshot(index_dir, version) / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        known = ", ".join(map(str, list_snapshots(index_dir))) or "none"
        raise SnapshotError(
            f"snapshot {version} of {index_dir} is missing or half-copied: its manifest can't be read "
            f"({error.strerror}); the snapshots here are: {known}"
        ) from error
    manifest = parse_manifest(data, name=str(path))
    if manifest.version != version:
        raise SnapshotError(
            f"{path} belongs to another snapshot, expected version {version}, received {manifest.version}; "
            "undo the renaming of its directory"
        )
    return manifest


def load_map(index_dir: Path, manifest: SnapshotManifest) -> GalleryMap | None:
    """Read the map of a snapshot by its manifest; None if it has none.

    Raises:
        SnapshotError: its file is missing or damaged.
    """
    if manifest.map is None:
        return None
    path = locate_snapshot(index_dir, manifest.version) / MAP_NAME
    _check_file(path, manifest.files.get(MAP_NAME))
    return decode_map(path, method=manifest.map.method, scale=manifest.map.scale)


def activate_snapshot(index_dir: Path, version: int) -> None:
    """Make a published snapshot the current one, after checking every byte of it.

    Raises:
        SnapshotError: it is missing or damaged; the current one stays.
        IndexDirectoryError: the directory can't be written.
    """
    with explain_os_errors(index_dir, "written"), hold_pointer(index_dir):
        load_snapshot(index_dir, version)
        point_at(index_dir, version)


def rollback_snapshot(index_dir: Path) -> int:
    """Activate the snapshot before the current one; see `find_earlier`.

    Returns:
        The version that is current now.

    Raises:
        SnapshotError: there is none before it, or it is damaged; the current one stays.
        IndexDirectoryError: there is no index, or it can't be written.
    """
    earlier = find_earlier(index_dir)
    if earlier is None:
        raise SnapshotError(
            f"{index_dir} has no snapshot before the current one ({require_current(index_dir)}) to roll back to; "
            "publish another with `beedex index build`"
        )
    activate_snapshot(index_dir, earlier)
    return earlier


def _load(index_dir: Path, version: int, expected_fingerprint: str | None) -> Snapshot:
    manifest = load_manifest(index_dir, version)
    if expected_fingerprint is not None and manifest.fingerprint != expected_fingerprint:
        raise FingerprintMismatchError(
            f"snapshot {version} of {index_dir} was made by another embedder, expected fingerprint "
            f"{expected_fingerprint}, received {manifest.fingerprint}; build the index again with this embedder",
            expected=expected_fingerprint,
            received=manifest.fingerprint,
        )
    directory = locate_snapshot(index_dir, version)
    for name in (VECTORS_NAME, ENTRIES_NAME):
        _check_file(directory / name, manifest.files.get(name))
    vectors = load_store(directory / VECTORS_NAME, manifest.search_plan or EXACT_PLAN)
    entries = EntryTable(directory / ENTRIES_NAME)
    gallery_map = load_map(index_dir, manifest)
    # Checksums say that the files are as written; this says that they were written for each other.
    agree = (
        vectors.dimension == manifest.dimension
        and len(entries) == manifest.entries
        and entries.count_families() == manifest.families
        and np.array_equal(vectors.ids, entries.ids)
        and (gallery_map is None or np.array_equal(gallery_map.ids, entries.ids))
    )
    if not agree:
        raise SnapshotError(
            f"snapshot {version} of {index_dir} contradicts itself: its manifest, vectors, entries and map do not "
            "describe the same photos; activate another snapshot or build again"
        )
    return Snapshot(manifest, vectors, entries, gallery_map)


def _check_file(path: Path, expected: str | None) -> None:
    try:
        received = sha256_file(path)
    except OSError as error:
        raise SnapshotError(
            f"{path} is missing or half-copied: it can't be read ({error.strerror}); activate another snapshot "
            "or build again"
        ) from error
    if received != expected:
        raise SnapshotError(
            f"{path} is damaged: expected sha256 {expected}, received {received}; activate another snapshot "
            "or build again"
        )
