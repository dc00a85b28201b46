"""Rebuilding an index from a gallery: embed what is new, keep what is known, publish only what is whole.

A build may be killed at any instant. What it had embedded stays in the catalog, the served snapshot stays as it was,
and the next build continues; the snapshot in the end has the same bytes as if nothing had happened.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.catalog import Catalog, SkippedPhoto
from beedex.index.contents import GalleryContents, read_contents, skip_photo
from beedex.index.embedders import install_embedder, is_installed
from beedex.index.embedding_run import embed_photos
from beedex.index.entries import Entry, digest_entries
from beedex.index.errors import GalleryError, IndexBusyError, IndexDirectoryError, PhotoError
from beedex.index.gallery import Gallery, GalleryPhoto, scan_gallery
from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits
from beedex.index.progress import Advance, ignore_progress
from beedex.index.snapshots import SNAPSHOTS_KEPT, load_snapshot, publish_snapshot
from beedex.index.versions import explain_os_errors

__all__ = ["CATALOG_NAME", "BuildSummary", "Reporter", "build_index"]

CATALOG_NAME = "catalog.sqlite"
LOCK_NAME = "LOCK"

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
        limits: what photos are refused.
        report: is given each step's label and size, as `report_progress` is.

    Raises:
        GalleryError: there is no gallery, or not one of its photos can be indexed.
        BundleError: the embedder can't be used.
        IndexBusyError: another process is building this index.
        IndexDirectoryError: the index can't be read or written. Whichever is raised, nothing was published.

    Example:
        >>> build_index(Path("photos"), Path("embedder"), Path("index")).entries  # doctest: +SKIP
        144
    """
    started = time.monotonic()
    # Its checksums are computed when it is needed: an unchanged gallery must cost next to nothing.
    bundle = load_bundle(bundle_dir, verify=False)
    gallery = scan_gallery(gallery_dir)
    with _hold_lock(index_dir), Catalog(index_dir / CATALOG_NAME) as catalog:
        with report("reading", len(gallery.photos)) as advance:
            contents = read_contents(gallery, catalog, limits=limits, advance=advance)
        embedded, failed = _embed_new(gallery, contents, bundle, catalog, limits, report)
        skipped = tuple(sorted([*contents.skipped, *failed.values()], key=lambda skip: skip.path))
        photos = {sha256: copies for sha256, copies in contents.photos.items() if str(copies[0].path) not in failed}
        entries = [_make_entry(sha256, copies[0]) for sha256, copies in photos.items()]
        if not entries:
            raise GalleryError(
                f"not one of the {len(gallery.photos)} photos of {gallery_dir} can be indexed, expected at least one; "
                f"the first: {skipped[0].path}: {skipped[0].message}"
            )
        former = {entry.sha256: entry.family for entry in _replace_gallery(catalog, entries, skipped)}
        version, is_published = _publish_changes(entries, bundle, catalog, index_dir, keep)
    return BuildSummary(
        entries=len(entries),
        embedded=embedded,
        reused=len(entries) - embedded,
        removed=len(former.keys() - photos.keys()),
        relabeled=sum(former.get(entry.sha256, entry.family) != entry.family for entry in entries),
        copies=sum(len(copies) - 1 for copies in photos.values()),
        skipped=skipped,
        snapshot=version,
        published=is_published,
        fingerprint=bundle.card.fingerprint,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _hold_lock(index_dir: Path) -> Iterator[None]:
    """Hold the index against other builds; the kernel lets go when the process ends, however it ends."""
    with explain_os_errors(index_dir, "written"):
        index_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(index_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "another process"
            raise IndexBusyError(
                f"the index {index_dir} is being built by process {holder}, expected one build at a time; "
                "wait for it to end or stop it, its work is kept"
            ) from error
        with explain_os_errors(index_dir, "written"):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _embed_new(
    gallery: Gallery,
    contents: GalleryContents,
    bundle: Bundle,
    catalog: Catalog,
    limits: PhotoLimits,
    report: Reporter,
) -> tuple[int, dict[str, SkippedPhoto]]:
    """Embed what the catalog lacks; return how many photos that were, and the files that can't be, by path."""
    known = catalog.list_embedded(bundle.card.fingerprint)
    new = {sha256: gallery.root / copies[0].path for sha256, copies in contents.photos.items() if sha256 not in known}
    if not new:
        return 0, {}
    with report("embedding", len(new)) as advance:
        failures = embed_photos(new, bundle, catalog, limits=limits, advance=advance)
    skipped = {}
    for sha256, error in failures.items():
        reason = error.reason if isinstance(error, PhotoError) else "CHANGED"
        for photo in contents.photos[sha256]:
            skipped[str(photo.path)] = skip_photo(photo, reason, str(error))
    return len(new) - len(failures), skipped


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
    entries: list[Entry], bundle: Bundle, catalog: Catalog, index_dir: Path, keep: int
) -> tuple[int, bool]:
    """Return the current version after this build, and whether it had to be published."""
    fingerprint = bundle.card.fingerprint
    version = _find_published(index_dir, fingerprint, digest_entries(entries))
    if version is not None and is_installed(bundle, index_dir):
        return version, False
    install_embedder(load_bundle(bundle.path), index_dir)
    if version is not None:
        return version, False
    sha256s = [entry.sha256 for entry in entries]
    vectors = catalog.read_embeddings(fingerprint, sha256s, bundle.card.dimension)
    return publish_snapshot(index_dir, entries=entries, vectors=vectors, fingerprint=fingerprint, keep=keep), True


def _find_published(index_dir: Path, fingerprint: str, gallery_digest: str) -> int | None:
    """Return the current version if it is whole and has these very entries by this very embedder."""
    try:
        manifest = load_snapshot(index_dir).manifest
    except IndexDirectoryError:  # there is none yet, or it is damaged: publishing mends that
        return None
    is_same = (manifest.fingerprint, manifest.gallery_digest) == (fingerprint, gallery_digest)
    return manifest.version if is_same else None
