"""The drawn gallery: reproducible, grouped, written safely, and its field marks show in the pictures."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from beedex.index.errors import GalleryError
from beedex.index.gallery import scan_gallery
from beedex.training.drawing import (
    FAMILIES,
    draw_contact_sheet,
    draw_gallery,
    draw_photo,
    meet_individual,
    plan_gallery,
)
from beedex.training.drawing.insect import draw_insect
from beedex.training.drawing.light import set_light
from beedex.training.drawing.pose import Pose
from beedex.training.drawing_commands import app

# Head up, wings away from the abdomen.
FROM_ABOVE = Pose(elevation=80, heading=90, tilt=0, pitch=0, droop=5, nod=0, wing_fold=75, wing_lift=5, gait=3)
LENGTH_PX = 160

# Of the gallery that most tests look at.
PER_FAMILY, SEED = 6, 7


def read_files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def read_rows(directory):
    with (directory / "gallery.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cut_out(family, seed):
    """One bee on nothing, under one light."""
    bee = meet_individual(family, np.random.default_rng(seed))
    light = set_light(FROM_ABOVE.ground(), np.full(3, 0.2), np.random.default_rng(5))
    return draw_insect(bee, FROM_ABOVE, light, scale=LENGTH_PX / bee["length_mm"])


def abdomen_of(cut):
    """Rows and columns around the abdomen."""
    x, y = (int(value) for value in cut.origin)
    return slice(y + 28, y + 90), slice(x - 50, x + 50)


def outline_roughness(family, seed):
    """Length of the abdomen's outline against that of the same shape smoothed: about 1 where there is no hair."""
    cut = cut_out(family, seed)
    body = Image.fromarray((cut.body[abdomen_of(cut)] * 255).astype(np.uint8))
    smooth = np.asarray(body.filter(ImageFilter.GaussianBlur(4))) > 127
    near = np.asarray(Image.fromarray((smooth * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(15))) > 0

    def outline(mask):
        inside = (mask & near).astype(np.int8)
        return np.abs(np.diff(inside, axis=0)).sum() + np.abs(np.diff(inside, axis=1)).sum()

    return outline(np.asarray(body) > 127) / outline(smooth)


def abdomen_texture(family, seed):
    """Contrast of neighbouring pixels in the middle of the abdomen, of its brightness."""
    cut = cut_out(family, seed)
    x, y = (int(value) for value in cut.origin)
    patch = cut.picture[y + 40 : y + 70, x - 15 : x + 15, :3].mean(axis=2)
    fine = np.abs(np.diff(patch, axis=1))
    return float(np.median(fine) / patch.mean())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn") / "gallery"
    draw_gallery(directory, per_family=PER_FAMILY, seed=SEED)
    return directory


def test_the_same_seed_draws_the_same_bytes_in_one_process_or_two(tmp_path):
    draw_gallery(tmp_path / "one", per_family=1, seed=5)
    draw_gallery(tmp_path / "other", per_family=1, seed=5, workers=2)

    assert len(read_files(tmp_path / "one")) == 8
    assert read_files(tmp_path / "one") == read_files(tmp_path / "other")


def test_more_photos_per_family_keep_the_first_ones_and_their_groups():
    for family in FAMILIES:
        few = list(plan_gallery(family, per_family=5, seed=7))
        many = list(plan_gallery(family, per_family=40, seed=7))

        assert [(p.path, p.group, p.shot) for p in few] == [(p.path, p.group, p.shot) for p in many[:5]]
        assert few[3].bee.values == many[3].bee.values


def test_a_smaller_drawing_grows_into_the_larger_one_byte_for_byte(drawn, tmp_path):
    draw_gallery(tmp_path, per_family=1, seed=SEED)
    whole, before = read_files(drawn), read_files(tmp_path)
    photos = [name for name in before if name.endswith(".jpg")]

    assert len(photos) == 6
    assert {name: before[name] for name in photos} == {name: whole[name] for name in photos}

    draw_gallery(tmp_path, per_family=2, seed=SEED)

    assert len(read_rows(tmp_path)) == 12


def test_another_seed_draws_other_individuals():
    for family in FAMILIES:
        one = next(plan_gallery(family, per_family=1, seed=7))
        other = next(plan_gallery(family, per_family=1, seed=8))

        assert one.bee.values != other.bee.values
        assert one.group != other.group


def test_every_family_is_drawn_and_named_in_the_csv(drawn):
    rows = read_rows(drawn)

    header = ["path", "family", "group", "species", "source", "license", "credit"]
    assert list(rows[0]) == header
    assert Counter(row["family"] for row in rows) == dict.fromkeys(
        ("bumble", "carpenter", "honey", "mason", "mining", "yellowface"), PER_FAMILY
    )
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(drawn).as_posix() for path in drawn.rglob("*.jpg")
    )
    assert {(row["source"], row["license"], row["credit"]) for row in rows} == {
        ("drawn by beedex", "CC0-1.0", "beedex")
    }
    assert all(row["path"].startswith(f"{row['family']}/{row['family']}_") for row in rows)


def test_a_quarter_to_a_third_of_the_individuals_have_two_photos():
    groups = Counter(
        photo.group
        for seed in range(3)
        for family in FAMILIES
        for photo in plan_gallery(family, per_family=60, seed=seed)
    )
    share = sum(count == 2 for count in groups.values()) / len(groups)

    assert set(groups.values()) == {1, 2}
    assert share == pytest.approx(0.3, abs=0.07)


def test_two_photos_of_a_group_show_one_individual_differently(drawn):
    plan = [photo for family in FAMILIES for photo in plan_gallery(family, per_family=PER_FAMILY, seed=SEED)]
    seconds = [photo for photo in plan if photo.shot == 1]

    assert seconds
    for second in seconds:
        first = next(photo for photo in plan if photo.group == second.group and photo.shot == 0)
        assert first.bee is second.bee
        assert (drawn / first.path).read_bytes() != (drawn / second.path).read_bytes()


def test_photos_vary_in_size_and_orientation():
    bee = meet_individual("honey", np.random.default_rng(0))
    sizes = {Image.open(io.BytesIO(draw_photo(bee, np.random.default_rng(shot)))).size for shot in range(6)}

    assert any(width > height for width, height in sizes)
    assert any(width < height for width, height in sizes)
    assert all(min(size) >= 360 and max(size) <= 800 for size in sizes)


def test_a_photo_is_drawn_from_its_generator_alone():
    bee = meet_individual("mining", np.random.default_rng(4))

    assert draw_photo(bee, np.random.default_rng(9)) == draw_photo(bee, np.random.default_rng(9))
    assert draw_photo(bee, np.random.default_rng(9)) != draw_photo(bee, np.random.default_rng(10))


def test_individuals_differ_within_their_types_ranges():
    for family, marks in FAMILIES.items():
        bees = [meet_individual(family, np.random.default_rng(seed)) for seed in range(40)]
        ranges = {name: limits for name, limits in vars(marks).items() if isinstance(limits, tuple)}

        for name, (low, high) in ranges.items():
            values = np.array([bee[name] for bee in bees if not bee.male])
            assert (values >= low).all(), name
            assert (values <= high).all(), name
            assert values.std() > 0 or low == high, name


def test_hair_roughens_the_outline_of_a_bumble_bee_and_not_of_a_yellowface():
    hairy = [outline_roughness("bumble", seed) for seed in range(3)]
    bare = [outline_roughness("yellowface", seed) for seed in range(3)]

    assert min(hairy) > 1.5 * max(bare)


def test_a_carpenter_bees_abdomen_is_smooth_where_a_bumble_bees_is_hairy():
    smooth = [abdomen_texture("carpenter", seed) for seed in range(3)]
    hairy = [abdomen_texture("bumble", seed) for seed in range(3)]

    assert np.mean(smooth) < 0.5 * np.mean(hairy)


def test_a_yellowface_is_more_slender_than_a_carpenter_bee():
    def breadth(family):
        cut = cut_out(family, 1)
        return cut.body[abdomen_of(cut)].sum(axis=1).max()

    assert breadth("yellowface") < 0.7 * breadth("carpenter")


def test_mean_colour_alone_does_not_tell_the_families_apart(drawn):
    rows = read_rows(drawn)
    family, group = (np.array([row[name] for row in rows]) for name in ("family", "group"))
    photos = [np.asarray(Image.open(drawn / row["path"]), dtype=np.float32) for row in rows]
    colour = np.stack([photo.mean(axis=(0, 1)) for photo in photos])

    hits = 0
    for number in range(len(rows)):
        others = group != group[number]
        centres = np.stack([colour[others & (family == name)].mean(axis=0) for name in FAMILIES])
        nearest = np.linalg.norm(centres - colour[number], axis=1).argmin()
        hits += list(FAMILIES)[nearest] == family[number]

    assert hits / len(rows) < 0.5


def test_drawing_refuses_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")

    with pytest.raises(GalleryError, match=r"not empty .* holiday\.jpg"):
        draw_gallery(tmp_path, per_family=1)

    assert read_files(tmp_path) == {"holiday.jpg": b"mine"}


@pytest.mark.parametrize(("per_family", "seed"), [(PER_FAMILY, SEED + 1), (PER_FAMILY - 1, SEED)])
def test_drawing_refuses_to_mix_two_drawings(drawn, per_family, seed):
    before = read_files(drawn)

    with pytest.raises(GalleryError, match="holds another drawing"):
        draw_gallery(drawn, per_family=per_family, seed=seed)

    assert read_files(drawn) == before


def test_drawing_refuses_a_path_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(GalleryError, match="can't draw into"):
        draw_gallery(tmp_path / "file", per_family=1)


def test_an_interrupted_drawing_is_finished_by_drawing_again(tmp_path):
    done = []

    def interrupt(count):
        done.append(count)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_gallery(tmp_path, per_family=1, seed=SEED, advance=interrupt)
    assert not (tmp_path / "gallery.csv").exists()

    draw_gallery(tmp_path, per_family=1, seed=SEED)

    assert len(scan_gallery(tmp_path).photos) == 6


@pytest.mark.parametrize(("per_family", "seed"), [(0, 1), (1, -1)])
def test_numbers_out_of_range_are_refused(tmp_path, per_family, seed):
    with pytest.raises(ValueError, match="per_family >= 1 and seed >= 0"):
        draw_gallery(tmp_path / "new", per_family=per_family, seed=seed)


def test_the_contact_sheet_has_a_row_for_every_family(drawn, tmp_path):
    draw_contact_sheet(drawn, tmp_path / "sheet.png", columns=2)

    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width < sheet.height / 2


def test_the_command_draws_a_gallery_that_scans_and_prints_one_json_document(tmp_path):
    result = CliRunner().invoke(app, ["gallery", "draw", str(tmp_path / "bees"), "--per-family", "1", "--json"])

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["photos"] == report["individuals"] == 6
    assert report["families"] == dict.fromkeys(FAMILIES, 1)
    assert Path(report["contact_sheet"]).is_file()
    scanned = scan_gallery(tmp_path / "bees")
    assert scanned.layout == "csv"
    assert len(scanned.photos) == 6
