"""The command ``beedex gallery draw``: a gallery of six bee types, drawn by code."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from beedex.training.drawing import DrawnGallery

__all__ = ["app"]

# Read as any other loose file beside family folders: gallery.csv says which files are photos.
CONTACT_SHEET_NAME = "contact-sheet.png"

app = typer.Typer()
gallery = typer.Typer(no_args_is_help=True, help="Look after a folder of labelled photos.")
app.add_typer(gallery, name="gallery")


@gallery.command("draw", epilog="Example: beedex gallery draw bees --per-family 24 --seed 7")
def draw(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder for the gallery.", metavar="DIR")],
    *,
    per_family: Annotated[int, typer.Option(min=1, help="Photos of each of the six types.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other individuals.")] = 7,
    contact_sheet: Annotated[bool, typer.Option(help=f"Also draw DIR/{CONTACT_SHEET_NAME}.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Draw a gallery of six bee types: something to try beedex on without any photos.

    The types are bumble, carpenter, honey, mason, mining and yellowface, each with its real field marks. The same
    seed draws the same files. gallery.csv names each photo's family and group: about a third of the individuals
    are on two photos.
    """
    # Imported when the command runs: numpy and Pillow take time that --help shouldn't.
    from beedex.index.progress import report_progress
    from beedex.training.drawing import FAMILIES, draw_contact_sheet, draw_gallery

    with report_progress("drawing photos", per_family * len(FAMILIES)) as advance:
        drawn = draw_gallery(directory, per_family=per_family, seed=seed, workers=os.cpu_count() or 1, advance=advance)
    sheet = directory / CONTACT_SHEET_NAME if contact_sheet else None
    if sheet:
        draw_contact_sheet(directory, sheet)
    _print_drawn(drawn, sheet, as_json=as_json)


def _print_drawn(drawn: "DrawnGallery", sheet: Path | None, *, as_json: bool) -> None:
    if as_json:
        report = {
            "gallery": str(drawn.directory),
            "photos": drawn.photos,
            "individuals": drawn.individuals,
            "families": drawn.families,
            "seed": drawn.seed,
            "contact_sheet": str(sheet) if sheet else None,
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    print(f"{drawn.photos} photos of {drawn.individuals} individuals in {drawn.directory} (seed {drawn.seed})")
    print(", ".join(f"{family} {count}" for family, count in drawn.families.items()))
    if sheet:
        print(f"contact sheet: {sheet}")
