"""Results as a notebook shows them: HTML that stands alone, on a light page or a dark one.

Nothing is loaded from anywhere: photos are in the page as data. Every word of a gallery or a server is escaped. Colours
are those of the page around; only the verdict and the bars bring their own, which both kinds of page show well.
"""

import base64
from html import escape
from typing import TYPE_CHECKING, TypeAlias

from beedex.client._results.wording import shorten_fingerprint, write_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from beedex.client._results.result import Answer
    from beedex.client._results.results import FamilyScore, Identification, Neighbor, Neighbors
    from beedex.client._results.stored_photos import StoredPhoto

__all__ = ["show_identification", "show_neighbors", "show_photo", "show_table"]

Fetch: TypeAlias = "Callable[[Sequence[str]], Mapping[str, bytes]]"

# More are summed up in one line.
FAMILIES_SHOWN = 6
NEIGHBORS_SHOWN = 12
ROWS_SHOWN = 50

# A notebook keeps in its file what it shows.
PHOTO_SHOWN_BYTES = 1024 * 1024
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})

# White on each has a contrast of at least 5 : 1, and each stands out from white and from black by 3 : 1.
COLOUR_BY_VERDICT = {"MATCH": "#2a7d4f", "AMBIGUOUS": "#96600a", "UNKNOWN": "#b8352c"}

STYLE = """<style>
.beedex { font: 14px/1.45 system-ui, sans-serif; max-width: 60em; overflow-wrap: anywhere }
.beedex .verdict { display: inline-block; padding: 0 .6em; border-radius: .4em; color: #fff; font-weight: 600 }
.beedex .names { font-size: 1.3em; font-weight: 600; margin: 0 .3em }
.beedex .quiet { opacity: .72; font-size: .9em }
.beedex .families { display: grid; grid-template-columns: fit-content(16em) 4em minmax(6em, 20em);
  gap: .15em .7em; margin: .6em 0; align-items: center }
.beedex .number { text-align: right; font-variant-numeric: tabular-nums }
.beedex .bar { height: .7em; border-radius: .35em; background: rgba(128, 128, 128, .25); overflow: hidden }
.beedex .bar div { height: 100%; background: #d1901d }
.beedex .photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: .7em;
  margin: .6em 0 }
.beedex figure { margin: 0 }
.beedex figure img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .4em; display: block }
.beedex figure .gap { aspect-ratio: 1; border: 1px dashed rgba(128, 128, 128, .6); border-radius: .4em }
.beedex figure.alone img { width: auto; max-width: 100%; max-height: 30em; aspect-ratio: auto }
.beedex figcaption { font-size: .85em; line-height: 1.3; margin-top: .25em }
.beedex .wide { overflow-x: auto }
.beedex table { border-collapse: collapse; margin: .6em 0; font-size: inherit; color: inherit;
  overflow-wrap: break-word }
.beedex th, .beedex td { text-align: left; padding: .15em .9em .15em 0; border: 0; vertical-align: top;
  background: none; color: inherit }
.beedex th { font-weight: 600; opacity: .72 }
</style>"""


def show_identification(answer: "Identification", fetch: Fetch) -> str:
    """Return the verdict, the families with bars, and the neighbors.

    Args:
        answer: what is shown.
        fetch: gets small JPEG files by entry id; without any, neighbors are in a plain table.
    """
    colour = COLOUR_BY_VERDICT[answer.verdict]
    names = " or ".join(answer.candidates) or "no family"
    parts = [
        f'<div><span class="verdict" style="background: {colour}">{escape(answer.verdict)}</span>',
        f'<span class="names">{escape(names)}</span></div>',
        f'<div class="quiet">{escape(answer.reason)}</div>',
        _draw_families(answer.families),
        _show_rows(answer.neighbors.rows, fetch),
    ]
    return _frame("".join(parts), answer)


def show_neighbors(answer: "Neighbors", fetch: Fetch) -> str:
    """Return the neighbors, nearest first; *fetch* as for `show_identification`."""
    return _frame(_show_rows(answer.rows, fetch), answer)


def show_table(rows: "Sequence[Mapping[str, object]]", answer: "Answer") -> str:
    """Return plain data as a table, with a column for each key that any row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_write_cell(name, row.get(name)) for name in columns] for row in rows[:ROWS_SHOWN]]
    return _frame(_tabulate(columns, cells) + _count_rest(len(rows), ROWS_SHOWN), answer)


def _write_cell(name: str, value: object) -> str:
    if value is None:
        return ""
    return shorten_fingerprint(str(value)) if name == "fingerprint" else str(value)


def show_photo(photo: "StoredPhoto") -> str:
    """Return a photo of the index with what is known of it; a large one only by its words."""
    entry = photo.entry
    is_shown = photo.media_type in MEDIA_TYPES and len(photo.content) <= PHOTO_SHOWN_BYTES
    picture = _draw_photo(photo.content, entry.family, photo.media_type) if is_shown else ""
    facts = [entry.species, entry.path, entry.source, entry.license, entry.credit, f"entry {entry.entry_id}"]
    words = ", ".join(fact for fact in facts if fact)
    return _frame(
        f'<figure class="alone">{picture}<figcaption>{escape(entry.family)} '
        f'<span class="quiet">{escape(words)}, {len(photo.content)} bytes</span></figcaption></figure>',
        photo,
    )


def _frame(content: str, answer: "Answer") -> str:
    made_with = f"embedder {shorten_fingerprint(answer.fingerprint)}, snapshot {answer.snapshot}"
    return f'{STYLE}<div class="beedex">{content}<div class="quiet">{escape(made_with)}</div></div>'


def _draw_families(scores: "Sequence[FamilyScore]") -> str:
    bars = [(score.family, score.probability) for score in scores[:FAMILIES_SHOWN]]
    rest = scores[FAMILIES_SHOWN:]
    if rest:
        bars.append((f"{len(rest)} more", sum(score.probability for score in rest)))
    cells = (
        f'<div>{escape(name)}</div><div class="number">{probability:.1%}</div>'
        f'<div class="bar"><div style="width: {100 * probability:.1f}%"></div></div>'
        for name, probability in bars
    )
    return f'<div class="families">{"".join(cells)}</div>'


def _show_rows(neighbors: "Sequence[Neighbor]", fetch: Fetch) -> str:
    shown = neighbors[:NEIGHBORS_SHOWN]
    photos = fetch([neighbor.entry_id for neighbor in shown])
    rest = _count_rest(len(neighbors), NEIGHBORS_SHOWN)
    if not photos:
        return _tabulate_neighbors(shown) + rest
    figures = (_draw_neighbor(neighbor, photos.get(neighbor.entry_id)) for neighbor in shown)
    return f'<div class="photos">{"".join(figures)}</div>{rest}'


def _draw_neighbor(neighbor: "Neighbor", photo: bytes | None) -> str:
    picture = '<div class="gap"></div>' if photo is None else _draw_photo(photo, neighbor.family, "image/jpeg")
    facts = [neighbor.path, neighbor.species, neighbor.source, f"entry {neighbor.entry_id}"]
    title = ", ".join(fact for fact in facts if fact)
    # Whoever made a photo is named beside it, and on what terms it may be shown.
    terms = ", ".join(words for words in (neighbor.credit, neighbor.license) if words)
    credit = f'<div class="quiet">{escape(terms)}</div>' if terms else ""
    return (
        f'<figure title="{escape(title)}">{picture}<figcaption>{escape(neighbor.family)} '
        f'<span class="quiet">{write_number(neighbor.similarity)}</span>{credit}</figcaption></figure>'
    )


def _draw_photo(photo: bytes, family: str, media_type: str) -> str:
    content = base64.b64encode(photo).decode("ascii")
    return f'<img alt="{escape(family)}" src="data:{media_type};base64,{content}">'


def _tabulate_neighbors(neighbors: "Sequence[Neighbor]") -> str:
    # A gallery without credits gets no empty column.
    has_credits = any(neighbor.credit for neighbor in neighbors)
    columns = ["similarity", "family", "photo", "entry", *(["credit"] if has_credits else [])]
    cells = [
        [write_number(row.similarity), row.family, row.path, row.entry_id, *([row.credit] if has_credits else [])]
        for row in neighbors
    ]
    return _tabulate(columns, cells) if cells else '<div class="quiet">no neighbors</div>'


def _tabulate(columns: "Iterable[str]", cells: "Iterable[Iterable[str]]") -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _count_rest(count: int, shown: int) -> str:
    return f'<div class="quiet">and {count - shown} more</div>' if count > shown else ""
