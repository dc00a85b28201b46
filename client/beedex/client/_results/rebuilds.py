"""News of a rebuild of the index."""

from dataclasses import dataclass

from beedex.client._results.result import Answer, Result

__all__ = ["RebuildProgress", "RebuildSummary", "SkippedPhoto"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RebuildProgress(Answer):
    """How far a build is.

    Attributes:
        step: what is being done, for example embedding.
        done: how many photos of this step are done.
        total: how many it has.
        photos_per_s: the rate since the step began; 0 before the first photo.
        remaining_s: how long the step still takes at this rate, in seconds; None before the first photo.
    """

    step: str
    done: int
    total: int
    photos_per_s: float
    remaining_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SkippedPhoto(Result):
    """A file of the gallery that is not indexed.

    Attributes:
        path: within the gallery.
        reason: an UPPER_SNAKE name such as NOT_A_PHOTO.
        message: the same in words.
    """

    path: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RebuildSummary(Answer):
    """What a build did; its snapshot is served.

    Attributes:
        entries: photos in the index now.
        embedded: of them, embedded by this build.
        reused: of them, embedded before.
        removed: photos of the last build that are not in the index any more.
        relabeled: photos of the last build that are in another family now.
        skipped: the first 1000 files that were left out, by path.
        skipped_count: how many were left out.
        is_published: whether this build made the snapshot; false when nothing had changed.
        seconds: how long it took.
    """

    entries: int
    embedded: int
    reused: int
    removed: int
    relabeled: int
    skipped: tuple[SkippedPhoto, ...]
    skipped_count: int
    is_published: bool
    seconds: float
