"""What an index holds and whether it is whole, for the people who run it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from beedex.index.bundle import load_bundle
from beedex.index.catalog import Catalog, SkippedPhoto
from beedex.index.changes import ChangeLog
from beedex.index.embedders import locate_embedder
from beedex.index.errors import BeedexError, BundleError, SnapshotError
from beedex.index.manifest import SnapshotManifest
from beedex.index.rebuild import CATALOG_NAME
from beedex.index.snapshots import list_snapshots, load_manifest, load_snapshot
from beedex.index.versions import require_current

__all__ = ["Finding", "IndexStatus", "SnapshotState", "describe_snapshots", "get_status", "verify_index"]


@dataclass(frozen=True, kw_only=True)
class IndexStatus:
    """The state of an index.

    Attributes:
        manifest: of the current snapshot.
        snapshots: the versions that are there.
        embeddings: how many the catalog keeps, by fingerprint.
        skipped: what the last build left out.
        pending: changes to single entries since the last build.
        kept: such changes that a build has made part of a snapshot, and the gallery doesn't say yet.
    """

    manifest: SnapshotManifest
    snapshots: tuple[int, ...]
    embeddings: dict[str, int]
    skipped: tuple[SkippedPhoto, ...]
    pending: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class SnapshotState:
    """A snapshot in a list.

    Attributes:
        manifest: None if it is damaged; then `problem` says how.
    """

    version: int
    is_current: bool
    manifest: SnapshotManifest | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part of an index and what is wrong with it: an empty `problem` if nothing is."""

    part: str
    problem: str


def get_status(index_dir: Path) -> IndexStatus:
    """Return the state of an index from its manifest and catalog, without reading vectors.

    Raises:
        IndexDirectoryError: there is no index, or its current snapshot or its catalog can't be read.
    """
    manifest = load_manifest(index_dir, require_current(index_dir))
    with ChangeLog(index_dir) as log:
        settled = [change.is_settled for change in log.read()]
    with Catalog(index_dir / CATALOG_NAME, read_only=True) as catalog:
        return IndexStatus(
            manifest=manifest,
            snapshots=list_snapshots(index_dir),
            embeddings=catalog.count_embeddings(),
            skipped=tuple(catalog.read_skipped()),
            pending=settled.count(False),
            kept=settled.count(True),
        )


def describe_snapshots(index_dir: Path) -> list[SnapshotState]:
    """Return every snapshot that is there, whole or damaged, ascending.

    Raises:
        IndexDirectoryError: there is no index.
    """
    current = require_current(index_dir)
    states = []
    for version in list_snapshots(index_dir):
        manifest, problem = None, ""
        try:
            manifest = load_manifest(index_dir, version)
        except SnapshotError as error:
            problem = str(error)
        states.append(SnapshotState(version=version, is_current=version == current, manifest=manifest, problem=problem))
    return states


def verify_index(index_dir: Path) -> Iterator[Finding]:
    """Check every byte of an index, and yield what was found part by part.

    Raises:
        IndexDirectoryError: there is no index, or it can't be read at all.
    """
    versions = list_snapshots(index_dir)
    if not versions:
        require_current(index_dir)
    yield _look("CURRENT", lambda: load_manifest(index_dir, require_current(index_dir)))
    fingerprints = set()
    for version in versions:
        finding = _look(f"snapshot {version}", partial(load_snapshot, index_dir, version))
        if not finding.problem:
            fingerprints.add(load_manifest(index_dir, version).fingerprint)
        yield finding
    for fingerprint in sorted(fingerprints):
        yield _look(f"embedder {fingerprint[:12]}", partial(_check_embedder, index_dir, fingerprint))
    yield _look("catalog", partial(_check_catalog, index_dir))
    yield _look("changes", partial(_check_changes, index_dir))


def _look(part: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except BeedexError as error:
        return Finding(part=part, problem=str(error))
    return Finding(part=part, problem="")


def _check_embedder(index_dir: Path, fingerprint: str) -> None:
    bundle = load_bundle(locate_embedder(index_dir, fingerprint))
    if bundle.card.fingerprint != fingerprint:
        raise BundleError(
            f"{bundle.path} holds another embedder than its name says, expected fingerprint {fingerprint}, "
            f"received {bundle.card.fingerprint}; build the index again"
        )


def _check_catalog(index_dir: Path) -> None:
    with Catalog(index_dir / CATALOG_NAME, read_only=True) as catalog:
        catalog.verify()


def _check_changes(index_dir: Path) -> None:
    with ChangeLog(index_dir) as log:
        log.check()
