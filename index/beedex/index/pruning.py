"""Pruning: giving back the room of what no snapshot needs."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from beedex.index.buildlock import hold_build_lock
from beedex.index.catalog import Catalog
from beedex.index.changes import ChangeLog
from beedex.index.embedders import list_embedders, locate_embedder
from beedex.index.rebuild import CATALOG_NAME
from beedex.index.snapshots import load_manifest, load_snapshot
from beedex.index.versions import delete_snapshot, explain_os_errors, hold_pointer, list_snapshots, require_current

__all__ = ["PruneSummary", "prune_index"]


@dataclass(frozen=True, kw_only=True)
class PruneSummary:
    """What was deleted.

    Attributes:
        snapshots: by version.
        embedders: copies, by fingerprint.
        embeddings: how many.
    """

    snapshots: tuple[int, ...]
    embedders: tuple[str, ...]
    embeddings: int


def prune_index(index_dir: Path, *, keep: int) -> PruneSummary:
    """Delete all snapshots but the current one and the newest others, and what only the deleted ones needed.

    An embedding stays if a snapshot that is kept holds its photo by its embedder, or the last build or a change since
    knows the photo and a snapshot that is kept has that embedder. Others would be computed again if their photo or
    their embedder came back.

    Args:
        index_dir: the index directory.
        keep: how many snapshots stay, the current one among them; at least 1.

    Raises:
        ValueError: *keep* is below 1.
        IndexBusyError: a build is at work.
        IndexDirectoryError: there is no index, it can't be written, or a snapshot that would be kept is damaged: then
            nothing was deleted.
    """
    if keep < 1:
        raise ValueError(f"the current snapshot stays, expected keep >= 1, received {keep}")
    require_current(index_dir)
    with hold_build_lock(index_dir), Catalog(index_dir / CATALOG_NAME) as catalog, ChangeLog(index_dir) as log:
        with explain_os_errors(index_dir, "written"), hold_pointer(index_dir):
            current = require_current(index_dir)
            others = [version for version in list_snapshots(index_dir) if version != current]
            kept = [*others[max(0, len(others) - keep + 1) :], current]
            photos = _list_photos(index_dir, kept)
            known = {entry.sha256 for entry in catalog.read_entries()} | {change.sha256 for change in log.read()}
            unneeded = tuple(version for version in others if version not in kept)
            for version in unneeded:
                delete_snapshot(index_dir, version)
        embedders = tuple(name for name in list_embedders(index_dir) if name not in photos)
        with explain_os_errors(index_dir, "written"):
            for fingerprint in embedders:
                shutil.rmtree(locate_embedder(index_dir, fingerprint))
        log.sweep()
        dropped = catalog.drop_embeddings({fingerprint: own | known for fingerprint, own in photos.items()})
    return PruneSummary(snapshots=unneeded, embedders=embedders, embeddings=dropped)


def _list_photos(index_dir: Path, versions: list[int]) -> dict[str, set[str]]:
    """Return the sha256 of the photos in these snapshots, by fingerprint."""
    photos: dict[str, set[str]] = {}
    for version in versions:
        fingerprint = load_manifest(index_dir, version).fingerprint
        entries = load_snapshot(index_dir, version).entries
        photos.setdefault(fingerprint, set()).update(entry.sha256 for entry in entries.read(entries.ids))
    return photos
