"""The drawn gallery: individuals, their photos, and the files that make them a gallery."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np

from beedex.index.durable import replace_file
from beedex.index.errors import GalleryError
from beedex.index.progress import Advance, ignore_progress
from beedex.training.drawing.individual import Individual, meet_individual
from beedex.training.drawing.marks import FAMILIES
from beedex.training.drawing.photo import draw_photo

__all__ = ["DrawnGallery", "DrawnPhoto", "draw_gallery", "plan_gallery"]

# Two photos of about one individual in three; the rest have one.
PAIRED_SHARE = 0.3

# Written before the first photo, so that a later run knows whose files it finds.
RECORD_NAME = ".drawing.json"
CSV_NAME = "gallery.csv"

# Counted up when the same seed no longer gives the same files.
DRAWING_VERSION = 1


# Photos that a process draws at a time: half a second's work, so that the progress bar moves.
PHOTOS_PER_ERRAND = 4


@dataclass(frozen=True, kw_only=True)
class DrawnPhoto:
    """One photo to be drawn.

    Attributes:
        path: below the gallery.
        bee: who is on it.
        individual: number of the bee within its family, from 0.
        shot: number of the photo of that bee, from 0.
        group: names the individual; unique per family and seed.
    """

    path: PurePosixPath
    bee: Individual
    individual: int
    shot: int
    group: str


@dataclass(frozen=True, kw_only=True)
class DrawnGallery:
    """What was drawn.

    Attributes:
        directory: the gallery.
        photos: how many.
        individuals: how many; an individual's photos are one group.
        families: photos by family.
        seed: of the drawing.
    """

    directory: Path
    photos: int
    individuals: int
    families: dict[str, int]
    seed: int


def draw_gallery(
    directory: Path, *, per_family: int = 24, seed: int = 7, workers: int = 1, advance: Advance = ignore_progress
) -> DrawnGallery:
    """Draw a gallery of all six types into a directory.

    The same seed gives the same bytes; more photos per family leave the first ones as they were;
    another seed gives other individuals.

    Args:
        directory: made if need be; must be empty or hold an earlier drawing of the same seed that is
            no larger. A drawing that was interrupted is continued by drawing again.
        per_family: photos of each family, at least 1.
        seed: at least 0.
        workers: processes that draw; the files are the same however many there are. More than one are spawned, and
            so need the calling program's main module to be importable.
        advance: called with 1 after each photo.

    Raises:
        GalleryError: the directory holds something else, or can't be written.
        ValueError: `per_family` or `seed` is out of range.
    """
    if per_family < 1 or seed < 0:
        raise ValueError(f"expected per_family >= 1 and seed >= 0, received per_family={per_family}, seed={seed}")
    plan = [photo for family in FAMILIES for photo in plan_gallery(family, per_family=per_family, seed=seed)]
    try:
        _claim(directory, per_family=per_family, seed=seed)
        for photo, data in zip(plan, _draw_all(plan, seed, workers), strict=True):
            _write(directory / photo.path, data)
            advance(1)
        replace_file(directory / CSV_NAME, _table(plan))
    except OSError as error:
        raise GalleryError(
            f"can't draw into {directory}: {error.strerror or error}; name a directory that can be written"
        ) from error
    return DrawnGallery(
        directory=directory,
        photos=len(plan),
        individuals=len({photo.group for photo in plan}),
        families=dict(Counter(photo.bee.family for photo in plan)),
        seed=seed,
    )


def plan_gallery(family: str, *, per_family: int, seed: int) -> Iterator[DrawnPhoto]:
    """Yield the photos of one family in order, without drawing them.

    >>> [photo.group for photo in plan_gallery("mason", per_family=3, seed=7)][0]
    'mason-7-000'
    """
    number = individual = 0
    while number < per_family:
        rng = _rng(seed, family, individual)
        shots = 2 if rng.random() < PAIRED_SHARE else 1
        bee = meet_individual(family, rng)
        for shot in range(min(shots, per_family - number)):
            yield DrawnPhoto(
                path=PurePosixPath(family, f"{family}_{number:03d}.jpg"),
                bee=bee,
                individual=individual,
                shot=shot,
                group=f"{family}-{seed}-{individual:03d}",
            )
            number += 1
        individual += 1


def _draw_all(plan: Sequence[DrawnPhoto], seed: int, workers: int) -> Iterator[bytes]:
    if workers == 1:
        yield from map(_draw, plan, repeat(seed))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, plan, repeat(seed), chunksize=PHOTOS_PER_ERRAND)


def _draw(photo: DrawnPhoto, seed: int) -> bytes:
    return draw_photo(photo.bee, _rng(seed, photo.bee.family, photo.individual, photo.shot))


def _rng(seed: int, family: str, individual: int, shot: int | None = None) -> np.random.Generator:
    """A generator of its own for each individual and each photo, whatever else is drawn."""
    key = (sorted(FAMILIES).index(family), individual) + (() if shot is None else (shot,))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _claim(directory: Path, *, per_family: int, seed: int) -> None:
    """Make sure that the directory is ours to draw into, and say so in it."""
    directory.mkdir(parents=True, exist_ok=True)
    record = directory / RECORD_NAME
    wanted = {"drawn by": "beedex", "version": DRAWING_VERSION, "seed": seed, "per family": per_family}
    if record.exists():
        found = _read_record(record)
        same = {key: found.get(key) for key in ("drawn by", "version", "seed")}
        earlier = found.get("per family")
        if same != {key: wanted[key] for key in same} or not isinstance(earlier, int) or earlier > per_family:
            raise GalleryError(
                f"{directory} holds another drawing: expected seed {seed} and at most {per_family} photos a family, "
                f"received seed {found.get('seed')} and {earlier}; name another directory or delete this one"
            )
    elif (stranger := next((path for path in sorted(directory.iterdir())), None)) is not None:
        raise GalleryError(
            f"{directory} is not empty and not an earlier drawing: it holds {stranger.name}; "
            f"expected an empty or a new directory, name another one"
        )
    replace_file(record, (json.dumps(wanted) + "\n").encode())


def _read_record(record: Path) -> dict[str, object]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GalleryError(f"{record} is not the record of a drawing: {error}; name another directory") from error
    return found if isinstance(found, dict) else {}


def _write(path: Path, data: bytes) -> None:
    """Put a photo in place whole, so that an interrupted drawing leaves no half photo under its name."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def _table(plan: list[DrawnPhoto]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "family", "group", "species", "source", "license", "credit"))
    for photo in plan:
        bee = photo.bee
        rows.writerow((photo.path, bee.family, photo.group, bee.species, "drawn by beedex", "CC0-1.0", "beedex"))
    return text.getvalue().encode()
