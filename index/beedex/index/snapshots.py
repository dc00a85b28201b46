"""Snapshots: immutable, numbered, checksummed states of an index.

    INDEX/snapshots/000007/
        vectors.faiss     see `beedex.index.vectors`
        entries.sqlite    see `beedex.index.entries`
        manifest.json     written last; holds the sha256 of the other two and its own

A snapshot appears by a rename when it is whole, and never changes afterwards. Equal entries, vectors and settings of
the search give equal bytes in both data files, an approximate search on processors of one kind; only the manifest says
when.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.durable import sha256_file, write_directory
from beedex.index.entries import Entry, EntryTable, digest_entries, encode_entries, parse_entry_id
from beedex.index.errors import FingerprintMismatchError, SnapshotError
from beedex.index.manifest import SnapshotManifest, parse_manifest, render_manifest
from beedex.index.vectors import (
    DEFAULT_SETTINGS,
    EXACT_PLAN,
    SearchPlan,
    SearchSettings,
    VectorStore,
    build_store,
    load_store,
)
from beedex.index.versions import (
    current_version,
    delete_snapshot,
    explain_os_errors,
    find_earlier,
    hold_pointer,
    list_snapshots,
    locate_snapshot,
    next_version,
    point_at,
    require_current,
    sweep_leftovers,
)

__all__ = [
    "SNAPSHOTS_KEPT",
    "Snapshot",
    "activate_snapshot",
    "current_version",
    "list_snapshots",
    "load_manifest",
    "load_snapshot",
    "publish_snapshot",
    "rollback_snapshot",
]

# A week of working days to go back to.
SNAPSHOTS_KEPT = 5

MANIFEST_NAME = "manifest.json"
VECTORS_NAME = "vectors.faiss"
ENTRIES_NAME = "entries.sqlite"


class Snapshot:
    """A snapshot in memory, checked; it stays usable when its files are deleted.

    Attributes:
        manifest: what it holds and who made it.
        vectors: the embeddings, under the entries' 64-bit ids. Not to be changed.
        entries: what is known of each photo.
    """

    def __init__(self, manifest: SnapshotManifest, vectors: VectorStore, entries: EntryTable) -> None:
        self.manifest = manifest
        self.vectors = vectors
        self.entries = entries

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


def publish_snapshot(
    index_dir: Path,
    *,
    entries: Sequence[Entry],
    vectors: NDArray[np.float32],
    fingerprint: str,
    keep: int = SNAPSHOTS_KEPT,
    search: SearchSettings = DEFAULT_SETTINGS,
) -> int:
    """Write a snapshot, make it the current one, and delete the oldest beyond *keep*.

    Readers see the previous snapshot until the new one is on the disk as a whole. Whatever goes wrong before that
    leaves the index as it was.

    Args:
        index_dir: the index directory; made if need be.
        entries: (N,) distinct photos in any order.
        vectors: (N, D) float32 unit vectors, in the order of *entries*.
        fingerprint: of the embedder that made the vectors.
        keep: how many snapshots stay, this one among them.
        search: what is wanted of the search.

    Returns:
        The new snapshot's version.

    Raises:
        ValueError: there is no entry, two have one id, or the vectors are not one unit vector each.
        MemoryBudgetError: the vectors don't fit into the memory that the settings allow.
        IndexDirectoryError: the directory can't be written; the message says why.
    """
    if len(entries) == 0 or keep < 1:
        raise ValueError(
            f"a snapshot holds entries and is kept, expected at least one entry and keep >= 1, "
            f"received {len(entries)} entries and keep={keep}"
        )
    store, plan = _store_vectors(entries, vectors, search)
    with explain_os_errors(index_dir, "written"):
        index_dir.mkdir(parents=True, exist_ok=True)
        with hold_pointer(index_dir):
            sweep_leftovers(index_dir)
            version = next_version(index_dir)
            with write_directory(locate_snapshot(index_dir, version)) as directory:
                store.save(directory / VECTORS_NAME)
                (directory / ENTRIES_NAME).write_bytes(encode_entries(entries))
                manifest = _describe(directory, version, entries, fingerprint, store.dimension, search, plan)
                (directory / MANIFEST_NAME).write_bytes(render_manifest(manifest))
            point_at(index_dir, version)
            for old in list_snapshots(index_dir)[:-keep]:
                delete_snapshot(index_dir, old)
    return version


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
    # Checksums say that the files are as written; this says that they were written for each other.
    agree = (
        vectors.dimension == manifest.dimension
        and len(entries) == manifest.entries
        and entries.count_families() == manifest.families
        and np.array_equal(vectors.ids, entries.ids)
    )
    if not agree:
        raise SnapshotError(
            f"snapshot {version} of {index_dir} contradicts itself: its manifest, vectors and entries do not "
            "describe the same photos; activate another snapshot or build again"
        )
    return Snapshot(manifest, vectors, entries)


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


def _store_vectors(
    entries: Sequence[Entry], vectors: NDArray[np.float32], search: SearchSettings
) -> tuple[VectorStore, SearchPlan]:
    """Put the vectors under their entries' ids."""
    if vectors.ndim != 2 or len(vectors) != len(entries):
        raise ValueError(
            f"every entry needs one vector, expected vectors of shape ({len(entries)}, D), received {vectors.shape}"
        )
    ids = np.array([entry.id64 for entry in entries], np.int64)
    return build_store(ids, vectors, search)


def _describe(
    directory: Path,
    version: int,
    entries: Sequence[Entry],
    fingerprint: str,
    dimension: int,
    search: SearchSettings,
    plan: SearchPlan,
) -> SnapshotManifest:
    return SnapshotManifest(
        version=version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=fingerprint,
        dimension=dimension,
        entries=len(entries),
        families=dict(sorted(Counter(entry.family for entry in entries).items())),
        gallery_digest=digest_entries(entries),
        index_kind=plan.kind,
        search_settings=search,
        search_plan=plan,
        files={name: sha256_file(directory / name) for name in (VECTORS_NAME, ENTRIES_NAME)},
    )
