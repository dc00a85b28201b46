"""What a build in a process of its own is told, and what it tells: one JSON document each."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from beedex.index.rebuild import BuildSummary
from beedex.index.vectors import SearchSettings

__all__ = ["SKIPPED_TOLD", "BuildJob", "BuildNews", "BuildProgress", "BuildRefusal", "BuildReport", "Skipped"]

# A reply must stay below the 4 MB that gRPC clients accept.
SKIPPED_TOLD = 1000
LONGEST_TEXT_CHARACTERS = 1000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BuildJob(_Part):
    """What is to be built.

    Attributes:
        gallery_dir: labelled photos.
        bundle_dir: the embedder.
        index_dir: what is brought up to date.
        search: what is wanted of the search.
    """

    gallery_dir: Path
    bundle_dir: Path
    index_dir: Path
    search: SearchSettings


class BuildProgress(_Part):
    """How far a build is.

    Attributes:
        step: what is being done.
        done: how many photos of this step.
        total: how many it has.
        photos_per_s: since the step began; 0 before the first photo.
        remaining_s: how long the step still takes at this rate; None before the first photo.
    """

    step: str
    done: int = 0
    total: int = 0
    photos_per_s: float = 0.0
    remaining_s: float | None = None


class Skipped(_Part):
    """A file that was left out, and why."""

    path: str
    reason: str
    message: str


class BuildReport(_Part):
    """What a build did, as `beedex.index.rebuild.BuildSummary` says; of what it skipped, the first and their number."""

    entries: int
    embedded: int
    reused: int
    removed: int
    relabeled: int
    skipped: tuple[Skipped, ...]
    skipped_count: int
    snapshot: int
    is_published: bool
    seconds: float

    @classmethod
    def of(cls, summary: BuildSummary) -> Self:
        """Return what is told of a summary."""
        skipped = tuple(
            Skipped(path=_cut(skip.path), reason=skip.reason, message=_cut(skip.message))
            for skip in summary.skipped[:SKIPPED_TOLD]
        )
        return cls(
            entries=summary.entries,
            embedded=summary.embedded,
            reused=summary.reused,
            removed=summary.removed,
            relabeled=summary.relabeled,
            skipped=skipped,
            skipped_count=len(summary.skipped),
            snapshot=summary.snapshot,
            is_published=summary.published,
            seconds=summary.seconds,
        )


class BuildRefusal(_Part):
    """Why nothing was built.

    Attributes:
        is_busy: whether another build holds the index.
        message: in words.
    """

    is_busy: bool
    message: str


class BuildNews(_Part):
    """One line of what a build prints; exactly one is set."""

    progress: BuildProgress | None = None
    report: BuildReport | None = None
    refusal: BuildRefusal | None = None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT_CHARACTERS else text[: LONGEST_TEXT_CHARACTERS - 3] + "..."
