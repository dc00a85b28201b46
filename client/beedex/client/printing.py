"""Answers on a terminal."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from beedex.client._results import FamilyScore, Identification, Neighbor, Neighbors, Verdict

__all__ = ["open_console", "show_identification", "show_neighbors"]

# Wide enough that 5 % shows, narrow enough for 80 columns.
BAR_CELLS = 24

# More families than this are summed up in one row.
FAMILIES_SHOWN = 6

STYLE_BY_VERDICT = {Verdict.MATCH: "bold green", Verdict.AMBIGUOUS: "bold yellow", Verdict.UNKNOWN: "bold red"}


# Where stdout is no terminal, rich assumes 80 columns, in which the paths of photos don't fit beside their entries.
FILE_COLUMNS = 120


def open_console() -> Console:
    """Return a console on stdout that leaves numbers and paths uncoloured."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_COLUMNS)


def show_identification(console: Console, photo: str, answer: Identification) -> None:
    """Print the verdict, the families with bars, and the neighbors."""
    headline = Text.assemble(
        (photo, "bold"), "  ", (answer.verdict, STYLE_BY_VERDICT[answer.verdict]), "  ", " or ".join(answer.candidates)
    )
    parts: list[RenderableType] = [headline, Text(answer.reason, style="dim"), _tabulate_families(answer.families)]
    console.print(Group(*parts, _tabulate_neighbors(answer.neighbors), ""))


def show_neighbors(console: Console, photo: str, answer: Neighbors) -> None:
    """Print the neighbors of one photo."""
    console.print(Group(Text(photo, style="bold"), _tabulate_neighbors(answer)))


def _tabulate_families(scores: Sequence[FamilyScore]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for score in scores[:FAMILIES_SHOWN]:
        bar = "█" * round(score.probability * BAR_CELLS)
        table.add_row(
            Text(score.family), Text(f"{score.probability:6.1%}"), Text(bar.ljust(BAR_CELLS, "·"), style="yellow")
        )
    rest = scores[FAMILIES_SHOWN:]
    if rest:
        table.add_row(Text(f"{len(rest)} more"), Text(f"{sum(score.probability for score in rest):6.1%}"), "")
    return table


def _tabulate_neighbors(neighbors: Sequence[Neighbor]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("similarity", justify="right")
    # A gallery without credits gets no empty column.
    has_credits = any(neighbor.credit for neighbor in neighbors)
    for name in ("family", "photo", "entry", *(["credit"] if has_credits else [])):
        table.add_column(name, overflow="fold")
    for neighbor in neighbors:
        cells = [f"{neighbor.similarity:.3f}", neighbor.family, neighbor.path, neighbor.entry_id]
        # As Text, since a gallery's words may look like rich's markup.
        table.add_row(*map(Text, [*cells, neighbor.credit] if has_credits else cells))
    return table
