"""Rebuilding an index from a gallery: embed what is new, keep what is known, publish only what is whole.

Changes that were made to single entries since the last build become part of the snapshot; see
`beedex.index.settlement`.

A build may be killed at any instant. What it had embedded stays in the catalog, the served snapshot stays as it was,
and the next build continues; the snapshot in the end has the same bytes as if nothing had happened.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beedex.index.buildlock import hold_build_lock
from beedex.index.bundle import Bundle, load_bundle
from beedex.index.catalog import Catalog, SkippedPhoto
from beedex.index.changes import ChangeLog, locate_photo
from beedex.index.contents import GalleryContents, read_contents, skip_photo
from beedex.index.embedders import install_embedder, is_installed
from beedex.index.embedding_run import embed_photos
from beedex.index.entries import Entry, digest_entries
from beedex.index.errors import GalleryError, IndexDirectoryError, PhotoError
from beedex.index.gallery import Gallery, GalleryPhoto, scan_gallery
from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits
from beedex.index.progress import Advance, ignore_progress
from beedex.index.publishing import publish_snapshot
from beedex.index.settlement import Settlement
from beedex.index.snapshots import SNAPSHOTS_KEPT, load_snapshot
from beedex.index.vectors import DEFAULT_SETTINGS, SearchSettings

__all__ = ["CATALOG_NAME", "BuildSummary", "Reporter", "build_index"]

CATALOG_NAME = "catalog.sqlite"

# Makes the progress report of one step: its label and how many photos it has.
Reporter = Callable[[str, int], AbstractContextManager[Advance]]


@dataclass(frozen=True, kw_only=True)
class BuildSummary:
    """What a build did.

    Attributes:
        entries: photos in the index now.
        embedded: of them, embedded by this build.
        reused: of them, embedded before.
        removed: photos of the last build that are not in the index any more.
        relabeled: photos of the last build that are in another family now.
        changes: to single entries, made since some build, that the gallery doesn't say yet.
        copies: files that hold the same photo as another file of their family; each photo counts once.
        skipped: files left out, by path.
        snapshot: the current version.
        published: whether this build published it; False when nothing had changed.
        fingerprint: of the embedder.
        seconds: how long it took.
    """

    entries: int
    embedded: int
    reused: int
    removed: int
    relabeled: int
    changes: int
    copies: int
    skipped: tuple[SkippedPhoto, ...]
    snapshot: int
    published: bool
    fingerprint: str
    seconds: float


@contextmanager
def _report_nothing(_label: str, _total: int) -> Iterator[Advance]:
    yield ignore_progress


def build_index(
    gallery_dir: Path,
    bundle_dir: Path,
    index_dir: Path,
    *,
    keep: int = SNAPSHOTS_KEPT,
    search: SearchSettings = DEFAULT_SETTINGS,
    limits: PhotoLimits = DEFAULT_LIMITS,
    report: Reporter = _report_nothing,
) -> BuildSummary:
    """Bring an index up to date with a gallery.

    Args:
        gallery_dir: labelled photos, in any layout that `scan_gallery` understands.
        bundle_dir: the embedder. Another one than last time embeds every photo anew, and the embeddings of the
            former stay for the day it is wanted again.
        index_dir: made if it isn't there.
        keep: how many snapshots stay to roll back to.
        search: what is wanted of the search; another wish than last time is reason enough to publish.
        limits: what photos are refused.
        report: is given each step's label and size, as `report_progress` is.

    Raises:
        GalleryError: there is no gallery, or not one of its photos can be indexed.
        BundleError: the embedder can't be used.
        MemoryBudgetError: the vectors don't fit into the memory that *search* allows.
        IndexBusyError: another process is building this index.
        IndexDirectoryError: the index can't be read or written. Whichever is raised, nothing was published.

    Example:
        >>> summary = build_index(Path("photos"), Path("embedder"), Path("index"))
        >>> summary.entries, summary.embedded  # it was built before
        (18, 0)
    """
    started = time.monotonic()
    # Its checksums are computed when it is needed: an unchanged gallery must cost next to nothing.
    bundle = load_bundle(bundle_dir, verify=False)
    gallery = scan_gallery(gallery_dir)
    with (
        hold_build_lock(index_dir),
        Catalog(index_dir / CATALOG_NAME) as catalog,
        ChangeLog(index_dir) as log,
    ):
        with report("reading", len(gallery.photos)) as advance:
            contents = read_contents(gallery, catalog, limits=limits, advance=advance)
        run = _Run(gallery, contents, bundle, catalog, index_dir, limits, report)
        run.embed(Settlement.judge(log.read(), contents.families, log.list_photos()))
        # Once more, as embedding may take hours: what came meanwhile is few.
        settlement = Settlement.judge(log.read(), contents.families, log.list_photos())
        run.embed(settlement)
        entries, skipped = run.list_entries(settlement), run.list_skipped(settlement)
        if not entries:
            raise GalleryError(
                f"not one of the {len(gallery.photos)} photos of {gallery_dir} can be indexed, expected at least one; "
                + (f"the first: {skipped[0].path}: {skipped[0].message}" if skipped else "all were taken out")
            )
        former = {entry.sha256: entry.family for entry in _replace_gallery(catalog, entries, skipped)}
        version, is_published = _publish_changes(entries, bundle, catalog, index_dir, keep, search, report)
        if settlement.is_news:
            log.settle(settlement.kept, settlement.dropped)
    present = {entry.sha256 for entry in entries}
    embedded = len(run.embedded & present)
    return BuildSummary(
        entries=len(entries),
        embedded=embedded,
        reused=len(entries) - embedded,
        removed=len(former.keys() - present),
        relabeled=sum(former.get(entry.sha256, entry.family) != entry.family for entry in entries),
        changes=len(settlement.kept),
        copies=sum(len(copies) - 1 for sha256, copies in contents.photos.items() if sha256 in present),
        skipped=skipped,
        snapshot=version,
        published=is_published,
        fingerprint=bundle.card.fingerprint,
        seconds=time.monotonic() - started,
    )


class _Run:
    """One build's photos on their way into the catalog."""

    def __init__(
        self,
        gallery: Gallery,
        contents: GalleryContents,
        bundle: Bundle,
        catalog: Catalog,
        index_dir: Path,
        limits: PhotoLimits,
        report: Reporter,
    ) -> None:
        self._gallery, self._contents, self._bundle, self._catalog = gallery, contents, bundle, catalog
        self._index_dir, self._limits, self._report = index_dir, limits, report
        self._failed: dict[str, Exception] = {}
        self.embedded: set[str] = set()

    def embed(self, settlement: Settlement) -> None:
        """Embed what the catalog lacks, of the gallery and of the entries that were put in."""
        known = self._catalog.list_embedded(self._bundle.card.fingerprint)
        known |= self._take_over(settlement, known)
        taken_out = settlement.taken_out
        wanted = [sha256 for sha256 in self._contents.photos if sha256 not in taken_out]
        wanted += settlement.entries.keys() - self._contents.photos.keys()
        # Of 100,000 photos that are known, making a path of each would take a second.
        new = {sha256: self._locate(sha256) for sha256 in wanted if sha256 not in known and sha256 not in self._failed}
        if not new:
            return
        with self._report("embedding", len(new)) as advance:
            failures = embed_photos(new, self._bundle, self._catalog, limits=self._limits, advance=advance)
        self._failed.update(failures)
        self.embedded |= new.keys() - failures.keys()

    def list_entries(self, settlement: Settlement) -> list[Entry]:
        """Return what the snapshot will hold."""
        own = {sha256: _make_entry(sha256, copies[0]) for sha256, copies in self._contents.photos.items()}
        entries = settlement.apply(own)
        return [entry for sha256, entry in entries.items() if sha256 not in self._failed]

    def list_skipped(self, settlement: Settlement) -> tuple[SkippedPhoto, ...]:
        """Return what is left out, by path."""
        skipped = list(self._contents.skipped)
        for sha256, error in self._failed.items():
            reason = error.reason if isinstance(error, PhotoError) else "CHANGED"
            photos = self._contents.photos.get(sha256, ())
            skipped += [skip_photo(photo, reason, str(error)) for photo in photos]
            if not photos and sha256 in settlement.entries:
                path = settlement.entries[sha256].path
                skipped.append(SkippedPhoto(path=path, reason=reason, message=str(error)))
        return tuple(sorted(skipped, key=lambda skip: skip.path))

    def _locate(self, sha256: str) -> Path:
        copies = self._contents.photos.get(sha256)
        return self._gallery.root / copies[0].path if copies else locate_photo(self._index_dir, sha256)

    def _take_over(self, settlement: Settlement, known: set[str]) -> set[str]:
        """Keep the vectors that came with changes, if they are of this embedder, and return their photos' sha256."""
        fingerprint = self._bundle.card.fingerprint
        vectors = {
            change.sha256: change.vector
            for change in settlement.kept
            if change.vector is not None and change.fingerprint == fingerprint and change.sha256 not in known
        }
        if vectors:
            self._catalog.add_embeddings(fingerprint, list(vectors), np.stack(list(vectors.values())))
        return set(vectors)


def _make_entry(sha256: str, photo: GalleryPhoto) -> Entry:
    return Entry(
        sha256=sha256,
        family=photo.family,
        path=str(photo.path),
        group=photo.group,
        species=photo.species,
        source=photo.source,
        license=photo.license,
        credit=photo.credit,
    )


def _replace_gallery(catalog: Catalog, entries: list[Entry], skipped: tuple[SkippedPhoto, ...]) -> list[Entry]:
    """Write down what the gallery holds now, if that is news, and return what it held before."""
    former = catalog.read_entries()
    if former != sorted(entries, key=lambda entry: entry.sha256) or catalog.read_skipped() != list(skipped):
        catalog.replace_gallery(entries, skipped)
    return former


def _publish_changes(
    entries: list[Entry],
    bundle: Bundle,
    catalog: Catalog,
    index_dir: Path,
    keep: int,
    search: SearchSettings,
    report: Reporter,
) -> tuple[int, bool]:
    """Return the current version after this build, and whether it had to be published."""
    fingerprint = bundle.card.fingerprint
    version = _find_published(index_dir, fingerprint, digest_entries(entries), search)
    if version is not None and is_installed(bundle, index_dir):
        return version, False
    install_embedder(load_bundle(bundle.path), index_dir)
    if version is not None:
        return version, False
    sha256s = [entry.sha256 for entry in entries]
    vectors = catalog.read_embeddings(fingerprint, sha256s, bundle.card.dimension)
    with report("publishing", len(entries)) as advance:
        published = publish_snapshot(
            index_dir,
            entries=entries,
            vectors=vectors,
            fingerprint=fingerprint,
            keep=keep,
            search=search,
            advance=advance,
        )
    return published, True


def _find_published(index_dir: Path, fingerprint: str, gallery_digest: str, search: SearchSettings) -> int | None:
    """Return the current version if it is whole, has a map, and these entries by this embedder, to be so searched."""
    try:
        manifest = load_snapshot(index_dir).manifest
    except IndexDirectoryError:  # there is none yet, or it is damaged: publishing mends that
        return None
    made_of = (manifest.fingerprint, manifest.gallery_digest, manifest.search_settings)
    is_same = manifest.map is not None and made_of == (fingerprint, gallery_digest, search)
    return manifest.version if is_same else None
