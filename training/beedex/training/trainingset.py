"""From a gallery on disk to the photos that a run trains on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.index.gallery import Gallery
from beedex.index.inspection import InspectedPhoto, Inspection, inspect_gallery
from beedex.index.progress import report_progress
from beedex.training.backbone.sources import PhotoSource
from beedex.training.errors import TrainingError

__all__ = ["TrainingSet", "read_training_set"]

# What `gallery.csv` may call photos that are kept from training; `beedex evaluate` looks them up.
HELD_OUT_SPLITS = frozenset({"test", "val", "valid", "validation", "holdout", "held-out"})


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """The photos of a run, in a fixed order.

    Attributes:
        inspection: of the whole gallery.
        photos: N, of families with two groups at least, without those of a held-out split.
        families: F names, sorted.
        labels: (N,) indices into `families`.
        left_out: in words, what of the gallery is not trained on, and why.
    """

    inspection: Inspection
    photos: tuple[InspectedPhoto, ...]
    families: tuple[str, ...]
    labels: NDArray[np.int64]
    left_out: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """(N,) group of each photo."""
        return tuple(photo.group for photo in self.photos)

    @property
    def sources(self) -> tuple[PhotoSource, ...]:
        """(N,) what features are computed from."""
        root = self.inspection.gallery.root
        return tuple(PhotoSource(path=root / photo.photo.path, sha256=photo.sha256) for photo in self.photos)


def read_training_set(gallery: Gallery) -> TrainingSet:
    """Inspect and sort a gallery.

    Raises:
        GalleryError: it holds no readable photo.
        TrainingError: fewer than two families have photos of two groups.
    """
    with report_progress("inspecting photos", len(gallery.photos)) as advance:
        inspection = inspect_gallery(gallery, advance=advance)
    # A group is held out whole: one photo of an animal in training gives away the others.
    held_out = {photo.group for photo in inspection.photos if (photo.photo.split or "").lower() in HELD_OUT_SPLITS}
    offered = [photo for photo in inspection.photos if photo.group not in held_out]
    groups_of: dict[str, set[str]] = {}
    for photo in offered:
        groups_of.setdefault(photo.photo.family, set()).add(photo.group)
    families = tuple(sorted(family for family, groups in groups_of.items() if len(groups) >= 2))
    small = sorted(set(inspection.gallery.families) - set(families))
    if len(families) < 2:
        raise TrainingError(
            f"{gallery.root} can't be trained on: expected two families with photos of two groups each (two animals, "
            f"or two scenes), received {len(families)}; `beedex gallery check {gallery.root}` lists them"
        )
    photos = tuple(photo for photo in offered if photo.photo.family in families)
    number = {family: i for i, family in enumerate(families)}
    return TrainingSet(
        inspection=inspection,
        photos=photos,
        families=families,
        labels=np.array([number[photo.photo.family] for photo in photos], dtype=np.int64),
        left_out=_say_left_out(inspection, len(inspection.photos) - len(offered), small),
    )


def _say_left_out(inspection: Inspection, held_out: int, small: list[str]) -> tuple[str, ...]:
    notes = []
    if inspection.unreadable:
        names = ", ".join(f"{photo.path} ({photo.reason})" for photo in inspection.unreadable[:5])
        notes.append(f"{len(inspection.unreadable)} photos can't be read: {names}")
    if inspection.conflicts:
        notes.append(f"{len(inspection.conflicts)} photos lie in two families and are in neither")
    if inspection.duplicates:
        notes.append(f"{len(inspection.duplicates)} photos are copies of others")
    if held_out:
        notes.append(f"{held_out} photos of held-out groups are kept for `beedex evaluate`")
    if small:
        notes.append(f"families with fewer than two groups are not trained on: {', '.join(small)}")
    return tuple(notes)
