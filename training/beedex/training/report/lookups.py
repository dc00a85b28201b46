"""Rows of photos: a query and what it found, a doubted photo and what doubts it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from beedex.training.report.content import Lookups, ReportContent

__all__ = ["DoubtRow", "LookupRow", "Tile", "choose_lookups", "list_doubts", "list_shown_photos"]

BEST, WORST = 6, 12
MOST_DOUBTS = 12
NEIGHBORS_SHOWN = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A photo in a row.

    Attributes:
        photo: its number.
        path: of it.
        family: its label.
        similarity: to the query, as text; None for the query itself.
        right: whether it has the query's label.
    """

    photo: int
    path: str
    family: str
    similarity: str | None = None
    right: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupRow:
    """A query, its average precision, and its nearest photos."""

    query: Tile
    average_precision: str
    neighbors: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubtRow:
    """A doubted photo, the family that the neighbors say, both probabilities, and the neighbors if they are known."""

    query: Tile
    said: str
    probability: str
    label_probability: str
    neighbors: tuple[Tile, ...]


def choose_lookups(content: ReportContent) -> tuple[tuple[LookupRow, ...], tuple[LookupRow, ...]]:
    """Return the best and the worst queries by average precision.

    Among equals, the best are those whose nearest photo is nearest, and so are the worst: the surest mistakes. A query
    with an average precision of 1 is none of the worst.
    """
    lookups = content.lookups
    if lookups is None or not len(lookups.photos):
        return (), ()
    judged = np.flatnonzero(np.isfinite(lookups.average_precision))
    precision = lookups.average_precision[judged]
    nearest = lookups.similarities[judged, 0] if lookups.similarities.shape[1] else np.zeros(len(judged))
    best: list[int] = judged[np.lexsort((judged, -nearest, -precision))][:BEST].tolist()
    rising: list[int] = judged[np.lexsort((judged, -nearest, precision))].tolist()
    worst = [row for row in rising if lookups.average_precision[row] < 1 and row not in best][:WORST]
    return tuple(_lay_out(content, lookups, best)), tuple(_lay_out(content, lookups, worst))


def list_doubts(content: ReportContent) -> tuple[DoubtRow, ...]:
    """Return the clearest doubts, to be shown with what they found."""
    row_of = {int(photo): row for row, photo in enumerate(content.lookups.photos)} if content.lookups else {}
    return tuple(
        DoubtRow(
            query=_make_tile(content, doubt.photo),
            said=content.families[doubt.said],
            probability=f"{doubt.probability:.2f}",
            label_probability=f"{doubt.label_probability:.2f}",
            neighbors=_find_neighbors(content, row_of.get(doubt.photo)),
        )
        for doubt in (content.doubts or ())[:MOST_DOUBTS]
    )


def list_shown_photos(rows: Sequence[LookupRow | DoubtRow]) -> list[int]:
    """Return the numbers of all photos in the rows, each once, in order."""
    return list(dict.fromkeys(tile.photo for row in rows for tile in (row.query, *row.neighbors)))


def _lay_out(content: ReportContent, lookups: Lookups, rows: Sequence[int]) -> Iterator[LookupRow]:
    for row in rows:
        yield LookupRow(
            query=_make_tile(content, int(lookups.photos[row])),
            average_precision=f"{lookups.average_precision[row]:.2f}",
            neighbors=_find_neighbors(content, row),
        )


def _find_neighbors(content: ReportContent, row: int | None) -> tuple[Tile, ...]:
    if content.lookups is None or row is None:
        return ()
    family = content.photos[int(content.lookups.photos[row])].family
    found = zip(content.lookups.neighbors[row], content.lookups.similarities[row], strict=True)
    return tuple(
        _make_tile(content, int(photo), similarity=f"{similarity:.2f}", query_family=family)
        for photo, similarity in list(found)[:NEIGHBORS_SHOWN]
        if photo >= 0
    )


def _make_tile(
    content: ReportContent, photo: int, *, similarity: str | None = None, query_family: str | None = None
) -> Tile:
    shown = content.photos[photo]
    right = query_family is None or shown.family == query_family
    return Tile(photo=photo, path=shown.path, family=shown.family, similarity=similarity, right=right)
