"""The map of the gallery: where the embedder puts each photo, and where the frozen features had it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.report.content import ReportContent
from beedex.training.report.markers import Marker, choose_marker
from beedex.training.report.projection import FEWEST_FOR_TSNE, align, project
from beedex.training.report.sampling import sample_evenly

__all__ = ["PlottedMap", "plot_map"]

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 640.0, 470.0, 14.0

# More points hide each other, and t-SNE of 2,000 takes 20 s on one core.
MOST_POINTS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One photo on the map.

    Attributes:
        photo: its number.
        family: its family's number.
        marker: its looks.
        trained: left and top by the embedder, as CSS lengths.
        frozen: the same by the frozen features.
        text: what it is, in words.
    """

    photo: int
    family: int
    marker: Marker
    trained: str
    frozen: str | None
    text: str


@dataclass(frozen=True, kw_only=True)
class PlottedMap:
    """The map.

    Attributes:
        width: of the view box.
        height: of the view box.
        points: in the order of drawing.
        legend: number, name, marker and count of each family on the map.
        photos: how many there are; more than points where they were sampled.
        by_tsne: whether there were enough for t-SNE.
        trained_on: whether the embedder was trained on these photos.
        has_frozen: whether both maps are there.
    """

    width: str
    height: str
    points: tuple[Point, ...]
    legend: tuple[tuple[int, str, Marker, int], ...]
    photos: int
    by_tsne: bool
    trained_on: bool
    has_frozen: bool


def plot_map(content: ReportContent) -> PlottedMap | None:
    """Project the photos; None without vectors or photos."""
    given = content.embedding_map
    if given is None or not content.photos:
        return None
    labels = content.labels
    chosen = sample_evenly(labels, MOST_POINTS)
    trained = project(given.embeddings[chosen])
    frozen = align(project(given.features[chosen]), trained) if given.features is not None else None
    places = _write_places(trained)
    frozen_places = _write_places(frozen) if frozen is not None else [None] * len(chosen)
    texts = _describe_photos(content)
    points = [
        Point(
            photo=int(photo),
            family=int(labels[photo]),
            marker=choose_marker(int(labels[photo])),
            trained=place,
            frozen=frozen_place,
            text=texts[photo],
        )
        for photo, place, frozen_place in zip(chosen, places, frozen_places, strict=True)
    ]
    # In the order of the photos, the last family would lie on top of all others.
    order = np.random.default_rng(0).permutation(len(points))
    return PlottedMap(
        width=f"{WIDTH_PX:.0f}",
        height=f"{HEIGHT_PX:.0f}",
        points=tuple(points[i] for i in order),
        legend=tuple(
            (int(family), content.families[family], choose_marker(int(family)), int(count))
            for family, count in zip(*np.unique(labels[chosen], return_counts=True), strict=True)
        ),
        photos=len(content.photos),
        by_tsne=len(chosen) >= FEWEST_FOR_TSNE,
        trained_on=given.trained_on,
        has_frozen=frozen is not None,
    )


def _write_places(places: NDArray[np.float64]) -> list[str]:
    """Return places (N, 2) as CSS lengths that fill the view box, one factor for both directions."""
    room = np.array([WIDTH_PX, HEIGHT_PX]) - 2 * MARGIN_PX
    low, high = places.min(axis=0), places.max(axis=0)
    factor = (room / np.maximum(high - low, 1e-12)).min()
    centered = (places - (low + high) / 2) * factor + np.array([WIDTH_PX, HEIGHT_PX]) / 2
    return [f"{left:.1f}px,{top:.1f}px" for left, top in centered]


def _describe_photos(content: ReportContent) -> list[str]:
    texts = [f"{photo.family}\n{photo.path}" for photo in content.photos]
    if content.lookups is not None:
        for photo, hit in zip(content.lookups.photos, content.lookups.hits, strict=True):
            if np.isfinite(hit):
                texts[photo] += f"\nheld out, its nearest photo was {'right' if hit else 'wrong'}"
    return texts
