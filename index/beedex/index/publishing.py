"""Publishing: writing a snapshot of entries, vectors and map, and making it the current one."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.durable import sha256_file, write_directory
from beedex.index.entries import Entry, digest_entries, encode_entries
from beedex.index.errors import IndexDirectoryError
from beedex.index.manifest import MapDescription, SnapshotManifest, render_manifest
from beedex.index.map import GalleryMap, encode_map
from beedex.index.mapping import MappingMethod, draw_map
from beedex.index.progress import Advance, ignore_progress
from beedex.index.snapshots import (
    ENTRIES_NAME,
    MANIFEST_NAME,
    MAP_NAME,
    SNAPSHOTS_KEPT,
    VECTORS_NAME,
    load_manifest,
    load_map,
)
from beedex.index.vectors import DEFAULT_SETTINGS, SearchPlan, SearchSettings, VectorStore, build_store
from beedex.index.versions import (
    current_version,
    delete_snapshot,
    explain_os_errors,
    hold_pointer,
    list_snapshots,
    locate_snapshot,
    next_version,
    point_at,
    sweep_leftovers,
)

__all__ = ["publish_snapshot"]


def publish_snapshot(
    index_dir: Path,
    *,
    entries: Sequence[Entry],
    vectors: NDArray[np.float32],
    fingerprint: str,
    keep: int = SNAPSHOTS_KEPT,
    search: SearchSettings = DEFAULT_SETTINGS,
    mapping: MappingMethod = "auto",
    advance: Advance = ignore_progress,
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
        mapping: how the map is drawn; see `draw_map`.
        advance: called with the number of entries that the work just done stands for.

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
    former, is_same = _find_former_map(index_dir, fingerprint)
    drawn = draw_map(store, former=former, is_same_embedder=is_same, method=mapping, advance=advance)
    with explain_os_errors(index_dir, "written"):
        index_dir.mkdir(parents=True, exist_ok=True)
        with hold_pointer(index_dir):
            sweep_leftovers(index_dir)
            version = next_version(index_dir)
            with write_directory(locate_snapshot(index_dir, version)) as directory:
                store.save(directory / VECTORS_NAME)
                (directory / ENTRIES_NAME).write_bytes(encode_entries(entries))
                (directory / MAP_NAME).write_bytes(encode_map(drawn))
                manifest = _describe(
                    directory, version, entries, fingerprint, store.dimension, search=search, plan=plan, drawn=drawn
                )
                (directory / MANIFEST_NAME).write_bytes(render_manifest(manifest))
            point_at(index_dir, version)
            for old in list_snapshots(index_dir)[:-keep]:
                delete_snapshot(index_dir, old)
    return version


def _find_former_map(index_dir: Path, fingerprint: str) -> tuple[GalleryMap | None, bool]:
    """Return the current snapshot's map, and whether this embedder made its vectors; damage is no reason to stop."""
    try:
        version = current_version(index_dir)
        if version is None:
            return None, False
        manifest = load_manifest(index_dir, version)
        return load_map(index_dir, manifest), manifest.fingerprint == fingerprint
    except IndexDirectoryError:
        return None, False


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
    *,
    search: SearchSettings,
    plan: SearchPlan,
    drawn: GalleryMap,
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
        map=MapDescription(method=drawn.method, scale=drawn.scale),
        files={name: sha256_file(directory / name) for name in (VECTORS_NAME, ENTRIES_NAME, MAP_NAME)},
    )
