"""What of a gallery is trained on."""

import csv
from pathlib import Path

import pytest

from beedex.index.gallery import scan_gallery
from beedex.training.backbone.sources import PhotoSource
from beedex.training.errors import TrainingError
from beedex.training.trainingset import read_training_set


def write_csv(gallery: Path, groups: dict[str, str], splits: dict[str, str]) -> None:
    """Give each photo of a folder gallery a group and a split; photos that aren't named get one of their own."""
    with (gallery / "gallery.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "family", "group", "split"))
        for path in sorted(gallery.glob("*/*.jpg")):
            name = path.stem
            rows.writerow((path.relative_to(gallery), path.parent.name, groups.get(name, name), splits.get(name, "")))


def test_a_gallery_without_groups_is_taken_whole(tiny_gallery: Path) -> None:
    data = read_training_set(scan_gallery(tiny_gallery))

    assert data.families == ("amber", "blue", "clover")
    assert [data.families[label] for label in data.labels] == [photo.photo.family for photo in data.photos]
    assert len(data.photos) == len(data.groups) == len(data.sources) == 18
    assert data.left_out == ()


def test_a_group_with_one_held_out_photo_is_held_out_whole(tiny_gallery_copy: Path) -> None:
    write_csv(tiny_gallery_copy, groups={"blue_000": "one bee", "blue_001": "one bee"}, splits={"blue_000": "test"})

    data = read_training_set(scan_gallery(tiny_gallery_copy))

    assert "one bee" not in data.groups
    assert len(data.photos) == 16
    assert any("held-out groups" in note for note in data.left_out)


def test_families_of_one_group_are_left_out_by_name(tiny_gallery_copy: Path) -> None:
    write_csv(tiny_gallery_copy, groups={f"amber_{i:03}": "one bee" for i in range(6)}, splits={})

    data = read_training_set(scan_gallery(tiny_gallery_copy))

    assert data.families == ("blue", "clover")
    assert any("amber" in note for note in data.left_out)


def test_a_gallery_of_one_trainable_family_is_refused_with_the_way_out(tiny_gallery_copy: Path) -> None:
    one_bee = {f"{family}_{i:03}": family for family in ("amber", "blue") for i in range(6)}
    write_csv(tiny_gallery_copy, groups=one_bee, splits={})

    with pytest.raises(TrainingError, match=r"expected two families .* received 1; `beedex gallery check"):
        read_training_set(scan_gallery(tiny_gallery_copy))


def test_a_photo_that_changed_since_it_was_inspected_is_not_used(tiny_gallery_copy: Path) -> None:
    source = read_training_set(scan_gallery(tiny_gallery_copy)).sources[0]
    source.path.write_bytes((tiny_gallery_copy / "blue" / "blue_000.jpg").read_bytes())

    with pytest.raises(TrainingError, match="changed while the command ran"):
        PhotoSource(path=source.path, sha256=source.sha256).read()
