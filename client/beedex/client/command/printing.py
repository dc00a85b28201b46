"""Answers for people: tables for 80 columns and more, colours on terminals only."""

import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from beedex.client import FamilyScore, Identification, Neighbor

__all__ = ["head_identification", "open_console", "tabulate_neighbors"]

# The bar grows with the terminal: 5 % shows in the least, and the most is still taken in at a glance.
FEWEST_BAR_CELLS, MOST_BAR_CELLS = 24, 48

# More families than this are summed up in one row.
FAMILIES_SHOWN = 6

# Of the similarity and of an entry, and of the gaps between five columns.
FIXED_COLUMNS = len("similarity") + 16 + 4 * 2

STYLE_BY_VERDICT = {"MATCH": "bold green", "AMBIGUOUS": "bold yellow", "UNKNOWN": "bold red"}

# Where stdout is no terminal, rich assumes 80 columns, in which the paths of photos don't fit beside their entries.
FILE_COLUMNS = 120


def open_console() -> Console:
    """Return a console on stdout that leaves numbers and paths uncoloured.

    NO_COLOR and FORCE_COLOR are rich's to honour.
    """
    console = Console(highlight=False)
    return console if sys.stdout.isatty() else Console(highlight=False, width=FILE_COLUMNS)


def head_identification(photo: str, answer: "Identification", *, width: int) -> RenderableType:
    """Return the verdict, why it is that, and the families with bars."""
    headline = Text.assemble(
        (photo, "bold"),
        "  ",
        (str(answer.verdict), STYLE_BY_VERDICT[str(answer.verdict)]),
        "  ",
        " or ".join(answer.candidates),
    )
    return Group(headline, Text(answer.reason, style="dim"), _tabulate_families(answer.families, width=width))


def _tabulate_families(scores: "Sequence[FamilyScore]", *, width: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    longest = max((len(score.family) for score in scores), default=0)
    cells = min(MOST_BAR_CELLS, max(FEWEST_BAR_CELLS, width - longest - len("  100.0%  ")))
    for score in scores[:FAMILIES_SHOWN]:
        bar = "█" * round(score.probability * cells)
        table.add_row(
            Text(score.family), Text(f"{score.probability:6.1%}"), Text(bar.ljust(cells, "·"), style="yellow")
        )
    rest = scores[FAMILIES_SHOWN:]
    if rest:
        table.add_row(Text(f"{len(rest)} more"), Text(f"{sum(score.probability for score in rest):6.1%}"), "")
    return table


def _measure_texts(neighbors: "Sequence[Neighbor]") -> int:
    """Return how many columns a line of the table takes at most."""
    texts = zip(*((neighbor.family, neighbor.path, neighbor.credit) for neighbor in neighbors), strict=True)
    return FIXED_COLUMNS + sum(max(map(cell_len, column)) for column in texts)


def tabulate_neighbors(neighbors: "Sequence[Neighbor]", *, width: int) -> Table:
    """Return the neighbors, nearest first, each with whose photo it is where the gallery says so."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("similarity", justify="right")
    # A gallery without credits gets no empty column.
    has_credits = any(neighbor.credit for neighbor in neighbors)
    # Where there is no room for a column of its own, a credit stands under its photo.
    has_column = has_credits and _measure_texts(neighbors) <= width
    for name in ("family", "photo", "entry", *(["credit"] if has_column else [])):
        table.add_column(name, overflow="fold")
    for neighbor in neighbors:
        # As Text, since a gallery's words may look like rich's markup.
        path = Text(neighbor.path)
        if has_credits and not has_column and neighbor.credit:
            path.append(f"\n{neighbor.credit}", style="dim")
        cells = [Text(f"{neighbor.similarity:.3f}"), Text(neighbor.family), path, Text(neighbor.entry_id)]
        table.add_row(*cells, *([Text(neighbor.credit)] if has_column else []))
    return table
