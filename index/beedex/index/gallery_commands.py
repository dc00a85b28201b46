"""The command ``beedex gallery check``: what a folder of labelled photos is worth, before anything is trained on it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from beedex.index.inspection import Inspection

__all__ = ["app"]

# Lines of one kind on a terminal; --json has all.
LINES_SHOWN = 20

app = typer.Typer()
gallery = typer.Typer(no_args_is_help=True, help="Look after a folder of labelled photos.")
app.add_typer(gallery, name="gallery")


@gallery.command("check", epilog="Example: beedex gallery check photos --json")
def check(
    directory: Annotated[Path, typer.Argument(help="The folder of labelled photos.", metavar="DIR")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Open every photo of a gallery and report what can be used and what can't.

    The gallery is <family>/<photo>, or files named <family><number>.jpg, or either with a gallery.csv that has the
    columns path,family and optionally group,split,species,source,license,credit. The exit code is 0 when it can
    be used, whatever was left out.
    """
    # Imported when the command runs: pHash brings SciPy, which takes a second that --help shouldn't.
    from beedex.index.gallery import scan_gallery
    from beedex.index.inspection import inspect_gallery
    from beedex.index.progress import report_progress

    scanned = scan_gallery(directory)
    with report_progress("reading photos", len(scanned.photos)) as advance:
        inspection = inspect_gallery(scanned, advance=advance)
    if as_json:
        print(json.dumps(describe_inspection(inspection), indent=2, ensure_ascii=False))
    else:
        _print_inspection(inspection)


def describe_inspection(inspection: "Inspection") -> dict[str, Any]:
    """Put an inspection into plain data; the keys stay as they are from release to release."""
    scanned = inspection.gallery
    return {
        "gallery": str(scanned.root),
        "layout": scanned.layout,
        "digest": inspection.digest,
        "found": len(scanned.photos),
        "kept": len(inspection.photos),
        "groups": len({photo.group for photo in inspection.photos}),
        "families": {
            family.family: {
                "found": scanned.families[family.family],
                "photos": family.photos,
                "groups": family.groups,
            }
            for family in inspection.families
        },
        "small_families": [family.family for family in inspection.small_families],
        "unreadable": [
            {"path": str(u.path), "family": u.family, "reason": u.reason.value, "message": u.message}
            for u in inspection.unreadable
        ],
        "duplicates": [{"path": str(d.path), "kept": str(d.kept)} for d in inspection.duplicates],
        "conflicts": [
            {"sha256": c.sha256, "paths": list(map(str, c.paths)), "families": list(c.families)}
            for c in inspection.conflicts
        ],
        "near_duplicates": [
            {"paths": list(map(str, n.paths)), "families": list(n.families), "groups": list(n.groups)}
            for n in inspection.near_duplicates
        ],
        "ignored": [{"path": str(i.path), "reason": i.reason} for i in scanned.ignored],
        "notes": list(scanned.notes),
    }


def _print_inspection(inspection: "Inspection") -> None:
    from rich.console import Console

    # Paths and messages are printed as they are: no markup in a file's name, no line broken to the terminal's width.
    console = Console(markup=False, highlight=False, soft_wrap=True)
    scanned = inspection.gallery
    _print_families(console, inspection)
    groups = len({photo.group for photo in inspection.photos})
    console.print(
        f"{len(inspection.photos)} of {_count(len(scanned.photos), 'photo')} kept, "
        f"in {_count(groups, 'group')} of {_count(len(inspection.families), 'family', 'families')}"
        f" (layout: {scanned.layout})"
    )
    for title, lines in _list_findings(inspection):
        if lines:
            console.print(f"\n{title} ({len(lines)})", style="bold")
            for line in lines[:LINES_SHOWN]:
                console.print(f"  {line}")
            if len(lines) > LINES_SHOWN:
                console.print(f"  and {len(lines) - LINES_SHOWN} more; --json lists all")


def _print_families(console: "Console", inspection: "Inspection") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("family", overflow="fold")
    for name in ("found", "kept", "groups"):
        table.add_column(name, justify="right")
    found = inspection.gallery.families
    for family in inspection.families:
        counts = (found[family.family], family.photos, family.groups)
        table.add_row(Text(family.family), *map(str, counts))
    console.print(table)


def _list_findings(inspection: "Inspection") -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a title and its lines, the gravest first."""
    yield "Can't be read, left out", [f"{u.path}: {u.reason}: {u.message}" for u in inspection.unreadable]
    yield (
        "The same photo in several families, all copies left out",
        [f"{_join(c.paths)} ({_join(c.families)})" for c in inspection.conflicts],
    )
    yield (
        "Families with too few groups to train on or to judge, at least 2 are needed",
        [f"{f.family}: {_count(f.photos, 'photo')}, {_count(f.groups, 'group')}" for f in inspection.small_families],
    )
    yield (
        "Near-duplicates in several families, a label may be wrong",
        [f"{_join(n.paths)} ({_join(n.families)})" for n in inspection.suspects],
    )
    yield (
        "Near-duplicates that gallery.csv puts into several groups",
        [f"{_join(n.paths)} ({_join(n.groups)})" for n in inspection.near_duplicates if len(n.groups) > 1],
    )
    yield (
        "Near-duplicates, taken as one group",
        [_join(n.paths) for n in inspection.near_duplicates if len(n.groups) == len(n.families) == 1],
    )
    yield "The same photo again, left out", [f"{d.path} = {d.kept}" for d in inspection.duplicates]
    yield "Not part of the gallery", [f"{i.path}: {i.reason}" for i in inspection.gallery.ignored]
    yield "Notes", inspection.gallery.notes


def _join(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
