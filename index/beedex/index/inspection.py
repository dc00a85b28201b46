"""What the photos of a gallery are worth: which can be read, which are copies, which belong together.

Letters in shapes: N photos.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beedex.index.errors import GalleryError, PhotoError, PhotoReason
from beedex.index.gallery import Gallery, GalleryPhoto
from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits, decode, read_photo
from beedex.index.progress import Advance, ignore_progress

__all__ = [
    "Conflict",
    "Duplicate",
    "FamilySummary",
    "InspectedPhoto",
    "Inspection",
    "NearDuplicates",
    "UnreadablePhoto",
    "inspect_gallery",
]

# Two photos are near-duplicates when their 64-bit pHashes differ in at most this many bits and their 16 x 16
# thumbnails correlate at least this much. Measured on 318 different photos of bees, wasps, butterflies and
# groceries, and on altered copies of every third:
#   - all copies pass that were saved again (JPEG at quality 20 and 50, WebP, PNG), shrunk to 1/4, sharpened, made
#     brighter or darker by 0.3, cropped by 2 % a side or turned by 1 degree; 95 % pass when brightened by half,
#     93 % when cropped by 3 % a side, 70 % by 4 %;
#   - of the 50,403 pairs of different photos the closest are 12 bits apart, 3 are within 14, 22 within 16. That
#     lets 100,000 photos have thousands of pairs within 10 bits by chance; the correlation parts those: it is at
#     most 0.66 for the 3, 0.88 for all.
MAX_DIFFERING_BITS = 10
MIN_CORRELATION = 0.90

THUMBNAIL_SIDE_PX = 16
HASHED_SIDE_PX = 64  # pHash looks at 32 x 32 pixels

# Below this standard deviation, in gray levels of 255, a photo is a flat colour whose hash is rounding noise: all
# flat photos would be near-duplicates of each other. The flattest of the measured photos has 9.
MIN_CONTRAST = 2.0

# Of the comparison of N hashes with N: 4 x 100,000 of 8 bytes stay in the processor's cache, and the whole
# comparison takes 6 s on one core; 64 rows take three times as long.
ROWS_AT_ONCE = 4
# Of thumbnails: 4096 pairs as float32 are 25 MB.
PAIRS_AT_ONCE = 4096

# Photos handed to the pool at once, so that 100,000 waiting calls don't fill the memory.
PHOTOS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedPhoto:
    """A readable photo that is kept.

    Attributes:
        perceptual_hash: the 64 bits of its pHash as 16 hex digits.
        group: the gallery's, else that of its near-duplicates, else its own; never split it across sets.
    """

    photo: GalleryPhoto
    sha256: str
    perceptual_hash: str
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadablePhoto:
    """A photo that can't be used, and why."""

    path: PurePosixPath
    family: str
    reason: PhotoReason
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A file with the very bytes of another one of its family, which is kept."""

    path: PurePosixPath
    kept: PurePosixPath


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """One photo in two families or more; since its family is unknown, no copy is kept."""

    sha256: str
    paths: tuple[PurePosixPath, ...]
    families: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicates:
    """Kept photos that look alike to the pixel, but for encoding, size, light or a small crop.

    Attributes:
        families: more than one is suspect: a label may be wrong.
        groups: more than one is suspect: gallery.csv puts one scene into several groups.
    """

    paths: tuple[PurePosixPath, ...]
    families: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilySummary:
    """How many photos and groups of a family are kept."""

    family: str
    photos: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A gallery after its files were opened.

    Attributes:
        photos: the kept ones, sorted by path: readable, one of each content, none in conflict.
        unreadable: sorted by path, like all that follows.
        near_duplicates: sets of two or more.
    """

    gallery: Gallery
    photos: tuple[InspectedPhoto, ...]
    unreadable: tuple[UnreadablePhoto, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    near_duplicates: tuple[NearDuplicates, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 of what is kept (contents, families, groups): the same wherever the files lie."""
        lines = sorted(f"{p.sha256}\0{p.photo.family}\0{p.group}\n" for p in self.photos)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def families(self) -> tuple[FamilySummary, ...]:
        """Every family of the gallery by name, also one of which nothing is kept."""
        photos = Counter(p.photo.family for p in self.photos)
        groups = Counter(family for family, _ in {(p.photo.family, p.group) for p in self.photos})
        return tuple(
            FamilySummary(family=family, photos=photos[family], groups=groups[family])
            for family in self.gallery.families
        )

    @property
    def small_families(self) -> tuple[FamilySummary, ...]:
        """Families with fewer than two groups: no photo of theirs has another of its family to be found."""
        return tuple(family for family in self.families if family.groups < 2)

    @property
    def suspects(self) -> tuple[NearDuplicates, ...]:
        """Near-duplicates that the gallery labels as different families."""
        return tuple(near for near in self.near_duplicates if len(near.families) > 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What is kept of a photo's content; `thumbnail` is (16 * 16, 3) uint8."""

    photo: GalleryPhoto
    sha256: str
    perceptual_hash: str
    contrast: float
    thumbnail: NDArray[np.uint8]


def inspect_gallery(
    gallery: Gallery,
    *,
    limits: PhotoLimits = DEFAULT_LIMITS,
    advance: Advance = ignore_progress,
    workers: int | None = None,
) -> Inspection:
    """Open every photo of a gallery and sort out which are kept, and which belong together.

    Args:
        gallery: as `scan_gallery` found it.
        limits: what is refused.
        advance: called in this thread with the number of photos just read.
        workers: threads that read and decode; as many as there are cores if None.

    Returns:
        The inspection, the same for the same files however many workers there are.

    Raises:
        GalleryError: no photo at all can be used.
    """
    looks: list[_Look] = []
    unreadable: list[UnreadablePhoto] = []
    look = partial(_look_at, gallery.root, limits)
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="inspection") as pool:
        for start in range(0, len(gallery.photos), PHOTOS_AT_ONCE):
            for result in pool.map(look, gallery.photos[start : start + PHOTOS_AT_ONCE]):
                (looks if isinstance(result, _Look) else unreadable).append(result)  # type: ignore[arg-type]
                advance(1)
    kept, duplicates, conflicts = _drop_copies(looks)
    if not kept:
        raise GalleryError(_explain_empty(gallery, unreadable, conflicts))
    sets = _find_sets(kept)
    groups = _name_groups(kept, sets)
    return Inspection(
        gallery=gallery,
        photos=tuple(
            InspectedPhoto(photo=k.photo, sha256=k.sha256, perceptual_hash=k.perceptual_hash, group=group)
            for k, group in zip(kept, groups, strict=True)
        ),
        unreadable=tuple(unreadable),
        duplicates=tuple(duplicates),
        conflicts=tuple(conflicts),
        near_duplicates=tuple(
            NearDuplicates(
                paths=tuple(kept[i].photo.path for i in members),
                families=tuple(sorted({kept[i].photo.family for i in members})),
                groups=tuple(sorted({groups[i] for i in members})),
            )
            for members in sets
            if len(members) > 1
        ),
    )


def _look_at(root: Path, limits: PhotoLimits, photo: GalleryPhoto) -> _Look | UnreadablePhoto:
    try:
        data = read_photo(root / photo.path, limits=limits)
        image = Image.fromarray(decode(data, limits=limits, needed_side_px=HASHED_SIDE_PX))
    except PhotoError as error:
        return UnreadablePhoto(path=photo.path, family=photo.family, reason=error.reason, message=str(error))
    thumbnail = image.resize((THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), Image.Resampling.BOX)
    return _Look(
        photo=photo,
        sha256=hashlib.sha256(data).hexdigest(),
        perceptual_hash=str(imagehash.phash(image)),
        contrast=float(np.asarray(thumbnail.convert("L")).std()),
        thumbnail=np.asarray(thumbnail).reshape(-1, 3),
    )


def _drop_copies(looks: Sequence[_Look]) -> tuple[list[_Look], list[Duplicate], list[Conflict]]:
    """Keep the first of each content, and none of a content that has two families."""
    by_content: dict[str, list[_Look]] = defaultdict(list)
    for look in looks:
        by_content[look.sha256].append(look)
    kept: list[_Look] = []
    duplicates: list[Duplicate] = []
    conflicts: list[Conflict] = []
    for sha256, (first, *others) in by_content.items():
        families = {first.photo.family, *(other.photo.family for other in others)}
        if len(families) > 1:
            paths = tuple(look.photo.path for look in (first, *others))
            conflicts.append(Conflict(sha256=sha256, paths=paths, families=tuple(sorted(families))))
            continue
        kept.append(first)
        duplicates += [Duplicate(path=other.photo.path, kept=first.photo.path) for other in others]
    return kept, sorted(duplicates, key=lambda duplicate: duplicate.path.parts), conflicts


def _explain_empty(gallery: Gallery, unreadable: Sequence[UnreadablePhoto], conflicts: Sequence[Conflict]) -> str:
    faults = [f"{u.path}: {u.message}" for u in unreadable] + [
        f"{c.paths[0]} and {c.paths[1]}: the same photo in two families" for c in conflicts
    ]
    return (
        f"{gallery.root}: none of the {len(gallery.photos)} photos can be used; expected at least one. "
        f"The first: {faults[0]}"
    )


def _find_sets(looks: Sequence[_Look]) -> list[list[int]]:
    """Put near-duplicates, and what is near to those, into one set; the rest are sets of one."""
    labels = np.arange(len(looks), dtype=np.int32)  # (N,), the least member of the set that each photo is in
    usable = np.flatnonzero([look.contrast >= MIN_CONTRAST for look in looks])
    hashes = np.array([int(look.perceptual_hash, 16) for look in looks], np.uint64)[usable]
    thumbnails = np.stack([look.thumbnail for look in looks])  # (N, pixels, 3)
    for start in range(0, len(usable), ROWS_AT_ONCE):
        bits = np.bitwise_count(hashes[start : start + ROWS_AT_ONCE, None] ^ hashes[start:])  # (rows, N - start)
        # One index and a division: np.nonzero of two dimensions takes four times as long as all the rest.
        near = np.flatnonzero(bits <= MAX_DIFFERING_BITS)
        if len(near) > PAIRS_AT_ONCE:  # of ten thousand frames of a film, most are joined already
            known = labels[usable]
            near = near[(known[start : start + ROWS_AT_ONCE, None] != known[start:]).ravel()[near]]
        for some in np.split(near, range(PAIRS_AT_ONCE, len(near), PAIRS_AT_ONCE)):
            left, right = (usable[start + side] for side in np.divmod(some, bits.shape[1]))
            apart = labels[left] != labels[right]  # which also drops a photo and itself
            _join_alike(labels, thumbnails, left[apart], right[apart])
    sets: dict[int, list[int]] = defaultdict(list)
    for member, label in enumerate(labels.tolist()):
        sets[label].append(member)
    return list(sets.values())


def _join_alike(
    labels: NDArray[np.int32],
    thumbnails: NDArray[np.uint8],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> None:
    """Join the sets of each pair whose thumbnails correlate, each colour about its own mean."""
    first, second = _normalise(thumbnails[left]), _normalise(thumbnails[right])
    alike = np.einsum("npc,npc->n", first, second) >= MIN_CORRELATION
    for pair in zip(labels[left[alike]].tolist(), labels[right[alike]].tolist(), strict=True):
        low, high = sorted(labels[list(pair)].tolist())  # the set may have been joined to another meanwhile
        labels[labels == high] = low


def _normalise(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    pixels = thumbnails.astype(np.float32)  # (pairs, pixels, 3)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.maximum(np.linalg.norm(pixels, axis=(1, 2), keepdims=True), 1e-6)
    return pixels


def _name_groups(looks: Sequence[_Look], sets: Iterable[Sequence[int]]) -> list[str]:
    """Give each photo its gallery's group, else the one its near-duplicates have, else one named by content."""
    groups = [look.photo.group for look in looks]
    for members in sets:
        given = sorted(group for i in members if (group := looks[i].photo.group) is not None)
        shared = given[0] if given else f"photo:{min(looks[i].sha256 for i in members)[:16]}"
        for i in members:
            groups[i] = groups[i] or shared
    return [group or "" for group in groups]
