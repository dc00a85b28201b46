"""What a gallery holds by content: which file is which photo, read only where a file is new or has changed."""

import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from beedex.index.catalog import Catalog, FileStamp, HashedFile, SkippedPhoto
from beedex.index.errors import PhotoError
from beedex.index.gallery import Gallery, GalleryPhoto
from beedex.index.photos import PhotoLimits, read_photo
from beedex.index.progress import Advance

__all__ = ["GalleryContents", "read_contents", "skip_photo"]

# Photos hashed between two commits to the catalog, and waiting for a thread at most.
PHOTOS_AT_ONCE = 500

# File systems stamp a change with a clock that ticks every 4 to 10 ms; FAT and some network ones with one of 2 s,
# which shows in whole seconds. A file that changes again within the tick in which it was read looks unchanged, so one
# that was read so soon after its last change is not remembered.
CLOCK_TICK_NS = 100_000_000
COARSE_CLOCK_TICK_NS = 2_000_000_000
NS_PER_S = 1_000_000_000

# Of a file that isn't there, or not yet. Nothing is remembered under it: its time lies in the future.
NO_STAMP = FileStamp(-1, sys.maxsize, sys.maxsize)


@dataclass(frozen=True, kw_only=True)
class GalleryContents:
    """The distinct photos of a gallery.

    Attributes:
        photos: by sha256, in the gallery's order; each list holds a photo and its further copies in the same family.
        skipped: files that can't be read, and photos that are in two families.
    """

    photos: Mapping[str, Sequence[GalleryPhoto]]
    skipped: tuple[SkippedPhoto, ...]

    @property
    def families(self) -> dict[str, str]:
        """The family of each photo, by sha256."""
        return {sha256: copies[0].family for sha256, copies in self.photos.items()}


def read_contents(gallery: Gallery, catalog: Catalog, *, limits: PhotoLimits, advance: Advance) -> GalleryContents:
    """Find the content of each photo and bring the catalog's knowledge of files up to date.

    A file is read only when its size or one of its times is not as the catalog knows it.

    Args:
        gallery: as `scan_gallery` found it.
        catalog: open for writing.
        limits: of which the file's size is checked here.
        advance: called with the number of files just settled.
    """
    known = catalog.read_hashes()
    catalog.forget_files(known.keys() - {str(photo.path) for photo in gallery.photos})
    sha256_by_path = {}
    changed = []
    for photo in gallery.photos:
        path = str(photo.path)
        if path in known and known[path].stamp == _stamp(f"{gallery.root}/{path}"):
            sha256_by_path[path] = known[path].sha256
        else:
            changed.append(photo)
    advance(len(sha256_by_path))
    skipped = []
    for photo, result in _hash_files(gallery.root, changed, catalog, limits=limits, advance=advance):
        if isinstance(result, PhotoError):
            skipped.append(skip_photo(photo, result.reason, str(result)))
        else:
            sha256_by_path[str(photo.path)] = result
    photos_by_sha256: defaultdict[str, list[GalleryPhoto]] = defaultdict(list)
    for photo in gallery.photos:
        if sha256 := sha256_by_path.get(str(photo.path)):
            photos_by_sha256[sha256].append(photo)
    clear = {}
    for sha256, photos in photos_by_sha256.items():
        if len({photo.family for photo in photos}) == 1:
            clear[sha256] = photos
        else:
            skipped += _skip_conflict(photos)
    return GalleryContents(photos=clear, skipped=tuple(skipped))


def skip_photo(photo: GalleryPhoto, reason: str, message: str) -> SkippedPhoto:
    """Say that a photo is left out, and why."""
    return SkippedPhoto(path=str(photo.path), reason=reason, message=message)


def _hash_files(
    root: Path, photos: Sequence[GalleryPhoto], catalog: Catalog, *, limits: PhotoLimits, advance: Advance
) -> Iterator[tuple[GalleryPhoto, str | PhotoError]]:
    """Yield each photo with its sha256 or what is wrong with it, having told the catalog."""
    now_ns = time.time_ns()
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hashing") as pool:
        for start in range(0, len(photos), PHOTOS_AT_ONCE):
            some = photos[start : start + PHOTOS_AT_ONCE]
            settled = {}
            for photo, result in zip(some, pool.map(partial(_hash_file, root, limits), some), strict=True):
                if isinstance(result, PhotoError):
                    yield photo, result
                    continue
                if _is_settled(result.stamp, now_ns):
                    settled[str(photo.path)] = result
                yield photo, result.sha256
            catalog.remember_hashes(settled)
            advance(len(some))


def _hash_file(root: Path, limits: PhotoLimits, photo: GalleryPhoto) -> HashedFile | PhotoError:
    path = root / photo.path
    # Before reading: a change while the file is read gives it another stamp than the one that is kept.
    stamp = _stamp(path)
    try:
        data = read_photo(path, limits=limits)
    except PhotoError as error:
        return error
    return HashedFile(stamp, hashlib.sha256(data).hexdigest())


def _stamp(path: Path | str) -> FileStamp:
    try:
        status = os.stat(path)  # noqa: PTH116 - of 100,000 files, making a Path of each would take longer
    except OSError:
        return NO_STAMP
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_settled(stamp: FileStamp, now_ns: int) -> bool:
    tick_ns = COARSE_CLOCK_TICK_NS if stamp.ctime_ns % NS_PER_S == 0 else CLOCK_TICK_NS
    return now_ns - stamp.ctime_ns > tick_ns


def _skip_conflict(photos: Sequence[GalleryPhoto]) -> Iterator[SkippedPhoto]:
    for photo in photos:
        others = [other for other in photos if other.family != photo.family]
        yield skip_photo(
            photo,
            "CONFLICT",
            f"the same photo is {others[0].path} in family {others[0].family!r}, this one in "
            f"{photo.family!r}; keep the right one",
        )
