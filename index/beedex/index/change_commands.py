"""The commands of the group ``beedex index`` that change single entries."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from beedex.index.entries import Entry

__all__ = ["add_change_commands"]

IndexDir = Annotated[Path, typer.Argument(help="The index directory.", metavar="DIR")]


def _check_family(family: str) -> str:
    if not family.strip():
        raise typer.BadParameter("an entry needs a family, received nothing but blanks")
    return family


EntryId = Annotated[str, typer.Argument(help="16 hex digits, as answers show them.", metavar="ENTRY")]
Family = Annotated[str, typer.Option(help="The photo's label.", metavar="NAME", callback=_check_family)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def add_change_commands(group: typer.Typer) -> None:
    """Add ``upsert``, ``relabel`` and ``delete``."""
    group.command("upsert", epilog="Example: beedex index upsert index new.jpg --family mason")(upsert)
    group.command("relabel", epilog="Example: beedex index relabel index 0123456789abcdef --family mason")(relabel)
    group.command("delete", epilog="Example: beedex index delete index 0123456789abcdef")(delete)


def upsert(
    directory: IndexDir,
    photos: Annotated[list[Path], typer.Argument(help="Photos of one family.", metavar="PHOTO...")],
    *,
    family: Family,
    group: Annotated[str | None, typer.Option(help="Photos of one animal or observation.", metavar="NAME")] = None,
    credit: Annotated[str, typer.Option(help="Whose photos they are.", metavar="TEXT")] = "",
    as_json: AsJson = False,
) -> None:
    """Put photos into an index without a build, or relabel those that are there.

    Programs that hold the index open find them at once, a server within a second; the next build makes them part of a
    snapshot.
    """
    from beedex.index.errors import IndexDirectoryError, PhotoError
    from beedex.index.index import Index

    entries, failures = [], []
    with Index.open(directory) as index:
        for photo in photos:
            try:
                entries.append(index.upsert(photo, family, group=group, credit=credit))
            except PhotoError as error:
                failures.append({"photo": str(photo), "reason": str(error.reason), "message": str(error)})
            except ValueError as error:
                raise IndexDirectoryError(f"{directory}: {photo}: {error}") from error
    _print_entries(entries, verb="put in", as_json=as_json, failures=failures)
    if failures:
        raise typer.Exit(1)


def relabel(directory: IndexDir, entry: EntryId, *, family: Family, as_json: AsJson = False) -> None:
    """Give an entry another family without a build.

    It holds until the gallery says the same, or something new.
    """
    from beedex.index.errors import IndexDirectoryError
    from beedex.index.index import Index

    with Index.open(directory) as index:
        try:
            changed = index.relabel(entry, family)
        except (LookupError, ValueError) as error:
            raise IndexDirectoryError(f"{directory}: {error}") from error
    _print_entries([changed], verb="relabeled", as_json=as_json)


def delete(
    directory: IndexDir,
    entries: Annotated[list[str], typer.Argument(help="16 hex digits each, as answers show them.", metavar="ENTRY...")],
    *,
    as_json: AsJson = False,
) -> None:
    """Take entries out of an index without a build.

    Their photos stay where they are, and out of the builds to come.
    """
    from beedex.index.errors import IndexDirectoryError
    from beedex.index.index import Index

    with Index.open(directory) as index:
        try:
            # All are looked up before one is taken out.
            known = [index.searcher.view.entry(entry).entry_id for entry in entries]
        except (LookupError, ValueError) as error:
            raise IndexDirectoryError(f"{directory}: {error}; nothing was taken out") from error
        gone = [index.delete(entry) for entry in dict.fromkeys(known)]
    _print_entries(gone, verb="taken out", as_json=as_json)


def _print_entries(
    entries: "list[Entry]", *, verb: str, as_json: bool, failures: list[dict[str, str]] | None = None
) -> None:
    if as_json:
        document: dict[str, Any] = {
            "entries": [{"entry_id": entry.entry_id, "family": entry.family, "path": entry.path} for entry in entries]
        }
        if failures is not None:
            document["failed"] = failures
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for entry in entries:
        print(f"{verb}: {entry.entry_id} {entry.family} {entry.path}")
    for failure in failures or ():
        print(f"failed: {failure['photo']}: {failure['reason']}: {failure['message']}", file=sys.stderr)
