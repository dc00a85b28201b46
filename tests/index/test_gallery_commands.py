"""`beedex gallery check` as a person and as a program reads it."""

import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from beedex.index.errors import GalleryError
from beedex.index.gallery_commands import LINES_SHOWN, app


def check(*arguments):
    return CliRunner().invoke(app, ["gallery", "check", *map(str, arguments)])


@pytest.fixture
def troubled_gallery(tiny_gallery_copy):
    """The tiny gallery with one of every kind of trouble."""
    root = tiny_gallery_copy
    shutil.copy(root / "amber/amber_000.jpg", root / "amber/again.jpg")
    shutil.copy(root / "amber/amber_001.jpg", root / "blue/amber.jpg")
    with Image.open(root / "clover/clover_000.jpg") as image:
        image.save(root / "clover/like.png")
        image.save(root / "blue/like.webp")
    (root / "clover/[red]cut.jpg").write_bytes((root / "clover/clover_001.jpg").read_bytes()[:700])
    (root / "Amber").mkdir()
    (root / "Amber/notes.txt").write_text("x")
    (root / "lone").mkdir()
    Image.linear_gradient("L").save(root / "lone/1.png")
    Image.radial_gradient("L").save(root / "Amber/round.png")
    return root


def test_sound_gallery_is_reported_in_short(tiny_gallery):
    result = check(tiny_gallery)

    assert result.exit_code == 0
    assert result.stderr == ""
    *table, total = result.stdout.splitlines()
    assert total == "18 of 18 photos kept, in 18 groups of 3 families (layout: folders)"
    assert [line.split() for line in table] == [
        ["family", "found", "kept", "groups"],
        ["amber", "6", "6", "6"],
        ["blue", "6", "6", "6"],
        ["clover", "6", "6", "6"],
    ]


def test_every_trouble_is_reported_and_the_gallery_is_usable(troubled_gallery):
    result = check(troubled_gallery)

    assert result.exit_code == 0
    for line in (
        "Can't be read, left out (1)",
        "  clover/[red]cut.jpg: DAMAGED: The photo is damaged or cut off:",
        "The same photo in several families, all copies left out (1)",
        "  amber/amber_001.jpg, blue/amber.jpg (amber, blue)",
        "Families with too few groups to train on or to judge, at least 2 are needed (1)",
        "  lone: 1 photo, 1 group",
        "Near-duplicates in several families, a label may be wrong (1)",
        "  blue/like.webp, clover/clover_000.jpg, clover/like.png (blue, clover)",
        "The same photo again, left out (1)",
        "  amber/amber_000.jpg = amber/again.jpg",
        "Not part of the gallery (1)",
        "  Amber/notes.txt: not a photo",
        "Notes (1)",
        "  Family 'amber' is also spelled 'Amber'; taken as one family.",
    ):
        assert line in result.stdout


def test_json_is_one_document_with_every_trouble(troubled_gallery):
    result = check(troubled_gallery, "--json")

    document = json.loads(result.stdout)
    assert result.stderr == ""
    assert list(document) == [
        "gallery",
        "layout",
        "digest",
        "found",
        "kept",
        "groups",
        "families",
        "small_families",
        "unreadable",
        "duplicates",
        "conflicts",
        "near_duplicates",
        "ignored",
        "notes",
    ]
    assert document["gallery"] == str(troubled_gallery)
    assert (document["layout"], document["found"], document["kept"], document["groups"]) == ("folders", 25, 21, 19)
    assert document["families"]["clover"] == {"found": 8, "photos": 7, "groups": 6}
    assert document["small_families"] == ["lone"]
    assert document["unreadable"][0]["path"] == "clover/[red]cut.jpg"
    assert document["unreadable"][0]["reason"] == "DAMAGED"
    assert document["duplicates"] == [{"path": "amber/amber_000.jpg", "kept": "amber/again.jpg"}]
    assert document["conflicts"][0]["paths"] == ["amber/amber_001.jpg", "blue/amber.jpg"]
    assert document["near_duplicates"][0]["families"] == ["blue", "clover"]
    assert document["ignored"] == [{"path": "Amber/notes.txt", "reason": "not a photo"}]
    assert len(document["notes"]) == 1


def test_long_lists_are_cut_on_the_terminal_only(tiny_gallery_copy):
    for number in range(LINES_SHOWN + 5):
        (tiny_gallery_copy / f"amber/{number}.txt").touch()

    shown, document = check(tiny_gallery_copy).stdout, json.loads(check(tiny_gallery_copy, "--json").stdout)

    assert shown.count(".txt") == LINES_SHOWN
    assert "and 5 more; --json lists all" in shown
    assert len(document["ignored"]) == LINES_SHOWN + 5


def test_long_paths_stay_on_one_line(tiny_gallery_copy):
    name = "amber/" + "very-" * 40 + "long.txt"
    (tiny_gallery_copy / name).touch()

    assert f"  {name}: not a photo" in check(tiny_gallery_copy).stdout.splitlines()


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_what_is_no_gallery_fails_with_the_error(tmp_path, name):
    (tmp_path / "empty").mkdir()

    result = check(tmp_path / name, "--json")

    assert result.exit_code == 1
    assert isinstance(result.exception, GalleryError)
    assert result.stdout == ""


def test_help_ends_with_an_example():
    result = check("--help")

    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith("Example: beedex gallery check photos --json")


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from beedex.index.gallery_commands import app\n"
        "try: app(['gallery', 'check', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'scipy', 'imagehash', 'PIL', 'faiss', 'openvino'} & set(sys.modules)))"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "[]"
