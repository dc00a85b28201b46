"""The confusion matrix as a table of shaded cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.report.content import Confusion

__all__ = ["ConfusionTable", "lay_out_confusion"]

# More rows can't be taken in; the families with the fewest mistakes are then added up in one.
MOST_FAMILIES = 24
OTHERS = "all others"

# Pairs that are told in words.
MOST_MISTAKES = 5


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: its count as text, its share of the row in [0, 1], and whether the decision is right."""

    text: str
    share: str
    right: bool


@dataclass(frozen=True, kw_only=True)
class ConfusionTable:
    """The table.

    Attributes:
        columns: names of the decisions.
        rows: family, count of its photos, cells.
        mistakes: family, what it was taken for, and how often; the most frequent first.
        shortened: how many families stand in the last row.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    mistakes: tuple[tuple[str, str, str], ...]
    shortened: int


def lay_out_confusion(confusion: Confusion, families: tuple[str, ...]) -> ConfusionTable:
    """Return the table of a confusion among *families*."""
    columns = families if confusion.decisions is None else confusion.decisions
    counts = np.nan_to_num(np.asarray(confusion.counts, dtype=np.float64))  # (C, K)
    right = np.array(families)[:, np.newaxis] == np.array(columns)[np.newaxis, :]  # (C, K)
    mistakes = _list_mistakes(counts, right, families, columns)
    shortened = 0
    if len(families) > MOST_FAMILIES:
        wrong = np.where(right, 0.0, counts)
        taken_for = dict(zip(columns, wrong.sum(axis=0), strict=True))
        weight = wrong.sum(axis=1) + np.array([taken_for.get(name, 0.0) for name in families])
        shortened = len(families) - MOST_FAMILIES + 1
        kept = np.sort(np.argsort(-weight, kind="stable")[: MOST_FAMILIES - 1])
        names = [families[i] for i in kept]
        counts, columns = _add_up(counts, families, columns, names)
        families = (*names, OTHERS)
        right = np.array(families)[:, np.newaxis] == np.array(columns)[np.newaxis, :]
    rows = tuple(
        (
            name,
            _write(row.sum()),
            tuple(_lay_out(value, row.sum(), bool(hit)) for value, hit in zip(row, hits, strict=True)),
        )
        for name, row, hits in zip(families, counts, right, strict=True)
    )
    return ConfusionTable(columns=tuple(columns), rows=rows, mistakes=mistakes, shortened=shortened)


def _add_up(
    counts: NDArray[np.float64], families: tuple[str, ...], columns: tuple[str, ...], kept: list[str]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return counts whose families other than *kept* share the last row and one column."""
    extra = [name for name in columns if name not in families]
    rows = [kept.index(name) if name in kept else len(kept) for name in families]
    places = [*kept, OTHERS, *extra]
    across = [places.index(name if name in places else OTHERS) for name in columns]
    summed = np.zeros((len(kept) + 1, len(places)))
    np.add.at(summed, (np.array(rows)[:, np.newaxis], np.array(across)[np.newaxis, :]), counts)
    return summed, tuple(places)


def _list_mistakes(
    counts: NDArray[np.float64], right: NDArray[np.bool_], families: tuple[str, ...], columns: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    wrong = np.where(right, 0.0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES]
    pairs = [divmod(int(place), len(columns)) for place in order]
    return tuple((families[i], columns[j], _write(wrong[i, j])) for i, j in pairs if wrong[i, j] > 0)


def _lay_out(value: float, total: float, right: bool) -> Cell:  # noqa: FBT001 - a cell's own property
    share = value / total if total > 0 else 0.0
    return Cell(text=_write(value) if value > 0 else "", share=f"{share:.3f}", right=right)


def _write(count: float) -> str:
    return f"{count:.0f}" if abs(count - round(count)) < 0.05 else f"{count:.1f}"
