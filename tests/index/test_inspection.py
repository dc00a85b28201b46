"""Which photos of a gallery are kept, and which belong together: real files, altered as people alter them."""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from beedex.index import inspection as inspection_module
from beedex.index.errors import GalleryError, PhotoReason
from beedex.index.gallery import scan_gallery
from beedex.index.inspection import FamilySummary, inspect_gallery
from beedex.index.photos import PhotoLimits

SHARED_PHOTOS = os.environ.get("BEEDEX_SHARED_PHOTOS")


def draw_scene(seed, size=(320, 240)):
    """A picture with structure from coarse to fine, unlike that of any other seed."""
    generator = np.random.default_rng(seed)
    layers = []
    for cells in (3, 6, 12, 40):
        noise = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers.append(np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32))
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))


def save(root, name, image, **options):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / name, **options)


def write(root, name, content):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def inspect(root, **options):
    return inspect_gallery(scan_gallery(root), **options)


def list_groups(inspection):
    return {str(each.photo.path): each.group for each in inspection.photos}


def crop(image, share):
    width, height = image.size
    return image.crop(
        (int(width * share), int(height * share), width - int(width * share), height - int(height * share))
    )


ALTERED = {
    "saved again at quality 20": (lambda image: image, "jpg", {"quality": 20}),
    "as PNG": (lambda image: image, "png", {}),
    "as WebP": (lambda image: image, "webp", {"quality": 50}),
    "shrunk to a quarter": (lambda image: image.resize((image.width // 4, image.height // 4)), "jpg", {}),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), "jpg", {}),
    "darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.7), "jpg", {}),
    "cropped by 2 % a side": (lambda image: crop(image, 0.02), "jpg", {}),
    "sharpened": (lambda image: image.filter(ImageFilter.SHARPEN), "jpg", {}),
}


@pytest.mark.parametrize("way", ALTERED)
def test_altered_copies_form_a_group(tmp_path, way):
    alter, suffix, options = ALTERED[way]
    for seed in range(12):
        save(tmp_path, f"honey/{seed}.jpg", draw_scene(seed), quality=90)
        save(tmp_path, f"honey/{seed}_copy.{suffix}", alter(draw_scene(seed)), **options)

    inspection = inspect(tmp_path)

    groups = list_groups(inspection)
    assert len(groups) == 24
    assert len(set(groups.values())) == 12
    assert all(groups[f"honey/{seed}.jpg"] == groups[f"honey/{seed}_copy.{suffix}"] for seed in range(12))
    assert [len(near.paths) for near in inspection.near_duplicates] == [2] * 12
    assert inspection.suspects == ()


def test_different_photos_stay_apart(tmp_path):
    for seed in range(60):
        save(tmp_path, f"honey/{seed}.jpg", draw_scene(seed, (64, 64)))

    inspection = inspect(tmp_path)

    assert len(set(list_groups(inspection).values())) == 60
    assert inspection.near_duplicates == ()


def test_flat_photos_stay_apart(tmp_path):
    for level in range(0, 256, 15):
        save(tmp_path, f"gray/{level}.png", Image.new("RGB", (40, 40), (level,) * 3))
    # A lens darkens every clear sky towards its corners in the same way.
    vignette = np.asarray(Image.radial_gradient("L")) // 64
    for level in (100, 150):
        save(tmp_path, f"gray/sky {level}.png", Image.fromarray(level - vignette))

    groups = list_groups(inspect(tmp_path))

    assert len(groups) == 20
    assert len(set(groups.values())) == 20


@pytest.mark.parametrize(("rows", "pairs"), [(1, 1), (100, 100)])
def test_chain_of_near_duplicates_is_one_group_though_its_ends_differ(tmp_path, monkeypatch, rows, pairs):
    monkeypatch.setattr(inspection_module, "ROWS_AT_ONCE", rows)
    monkeypatch.setattr(inspection_module, "PAIRS_AT_ONCE", pairs)
    scene = draw_scene(1, (600, 600))
    for number, share in enumerate([0, 0.02, 0.04, 0.06, 0.08, 0.1]):
        save(tmp_path, f"honey/{number}.png", crop(scene, share))
    save(tmp_path, "honey/other.png", draw_scene(2))

    assert Counter(list_groups(inspect(tmp_path)).values()).most_common(1)[0][1] == 6
    for name in ("1", "2", "3", "4"):
        (tmp_path / f"honey/{name}.png").unlink()
    assert len(set(list_groups(inspect(tmp_path)).values())) == 3


def test_sets_equal_those_of_brute_force():
    generator = np.random.default_rng(3)
    centres = [(generator.integers(0, 2**62), generator.integers(0, 256, (256, 3))) for _ in range(6)]
    looks = []
    for number in range(120):
        code, thumbnail = centres[number % 6]
        flips = sum(1 << int(bit) for bit in generator.choice(64, int(generator.integers(0, 9)), replace=False))
        blurred = np.clip(thumbnail + generator.normal(0, generator.choice([5, 90]), (256, 3)), 0, 255)
        looks.append(
            inspection_module._Look(
                photo=None,  # type: ignore[arg-type] # the search asks only for what is seen
                sha256="",
                perceptual_hash=f"{int(code) ^ flips:016x}",
                contrast=float(generator.choice([1.0, 50.0], p=[0.1, 0.9])),
                thumbnail=blurred.astype(np.uint8),
            )
        )

    found = inspection_module._find_sets(looks)

    near = np.eye(120, dtype=bool)
    for i, a in enumerate(looks):
        for j, b in enumerate(looks):
            bits = (int(a.perceptual_hash, 16) ^ int(b.perceptual_hash, 16)).bit_count()
            pixels = [each.thumbnail.astype(float) - each.thumbnail.mean(axis=0) for each in (a, b)]
            correlation = (pixels[0] * pixels[1]).sum() / np.sqrt((pixels[0] ** 2).sum() * (pixels[1] ** 2).sum())
            near[i, j] |= bits <= 10 and correlation >= 0.9 and min(a.contrast, b.contrast) >= 2
    reached = np.linalg.matrix_power(near.astype(float), 120) > 0
    assert found == sorted(np.flatnonzero(row).tolist() for row in np.unique(reached, axis=0))
    assert 6 < len(found) < 120


def test_frames_of_a_film_form_one_group(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection_module, "PAIRS_AT_ONCE", 16)
    for number in range(40):
        save(
            tmp_path,
            f"honey/{number:02}.png",
            ImageEnhance.Brightness(draw_scene(5, (64, 64))).enhance(1 - number / 400),
        )

    inspection = inspect(tmp_path)

    assert len(set(list_groups(inspection).values())) == 1
    assert len(inspection.near_duplicates) == 1


def test_groups_of_the_csv_are_kept_and_near_duplicates_join_them(tmp_path):
    save(tmp_path, "1.jpg", draw_scene(1))
    save(tmp_path, "2.png", draw_scene(1))
    save(tmp_path, "3.webp", draw_scene(1))
    save(tmp_path, "4.jpg", draw_scene(4))
    write(
        tmp_path,
        "gallery.csv",
        b"path,family,group\n1.jpg,honey,hive 1\n2.png,honey,\n3.webp,honey,hive 2\n4.jpg,honey,hive 1\n",
    )

    inspection = inspect(tmp_path)

    assert list_groups(inspection) == {"1.jpg": "hive 1", "2.png": "hive 1", "3.webp": "hive 2", "4.jpg": "hive 1"}
    assert inspection.near_duplicates[0].groups == ("hive 1", "hive 2")


def test_same_photo_again_in_its_family_is_kept_once(tmp_path):
    save(tmp_path, "honey/b.jpg", draw_scene(1))
    shutil.copy(tmp_path / "honey/b.jpg", tmp_path / "honey/a.jpg")
    shutil.copy(tmp_path / "honey/b.jpg", tmp_path / "honey/c.jpg")

    inspection = inspect(tmp_path)

    assert [str(each.photo.path) for each in inspection.photos] == ["honey/a.jpg"]
    assert [(str(d.path), str(d.kept)) for d in inspection.duplicates] == [
        ("honey/b.jpg", "honey/a.jpg"),
        ("honey/c.jpg", "honey/a.jpg"),
    ]


def test_same_photo_in_two_families_is_kept_in_neither(tmp_path):
    save(tmp_path, "honey/1.jpg", draw_scene(1))
    save(tmp_path, "honey/2.jpg", draw_scene(2))
    save(tmp_path, "mason/3.jpg", draw_scene(3))
    shutil.copy(tmp_path / "honey/1.jpg", tmp_path / "mason/1.jpg")
    shutil.copy(tmp_path / "honey/1.jpg", tmp_path / "honey/1 again.jpg")

    inspection = inspect(tmp_path)

    assert list(list_groups(inspection)) == ["honey/2.jpg", "mason/3.jpg"]
    assert inspection.duplicates == ()
    (conflict,) = inspection.conflicts
    assert list(map(str, conflict.paths)) == ["honey/1 again.jpg", "honey/1.jpg", "mason/1.jpg"]
    assert conflict.families == ("honey", "mason")


def test_near_duplicates_in_two_families_are_suspect_and_kept_in_one_group(tmp_path):
    save(tmp_path, "honey/1.jpg", draw_scene(1))
    save(tmp_path, "mason/2.png", draw_scene(1))

    inspection = inspect(tmp_path)

    (suspect,) = inspection.suspects
    assert suspect.families == ("honey", "mason")
    assert len(set(list_groups(inspection).values())) == 1
    assert inspection.conflicts == ()


def test_unreadable_files_are_listed_with_their_reason_and_skipped(tmp_path):
    save(tmp_path, "honey/good.jpg", draw_scene(1))
    jpeg = (tmp_path / "honey/good.jpg").read_bytes()
    write(tmp_path, "honey/cut.jpg", jpeg[: len(jpeg) // 2])
    write(tmp_path, "honey/empty.jpg", b"")
    write(tmp_path, "honey/text.jpg", b"not a photo at all")
    save(tmp_path, "honey/anim.gif", draw_scene(2, (40, 30)))
    save(tmp_path, "honey/wide.png", Image.new("L", (900, 2)))
    write(tmp_path, "honey/big.jpg", bytes(50_000))
    (tmp_path / "honey/gone.jpg").symlink_to("nowhere")
    (tmp_path / "honey/device.jpg").symlink_to("/dev/null")

    inspection = inspect(tmp_path, limits=PhotoLimits(max_bytes=40_000, max_side_px=800))

    assert {u.path.name: u.reason for u in inspection.unreadable} == {
        "anim.gif": PhotoReason.UNSUPPORTED_FORMAT,
        "big.jpg": PhotoReason.TOO_MANY_BYTES,
        "cut.jpg": PhotoReason.DAMAGED,
        "empty.jpg": PhotoReason.EMPTY,
        "device.jpg": PhotoReason.UNREADABLE,
        "gone.jpg": PhotoReason.UNREADABLE,
        "text.jpg": PhotoReason.NOT_A_PHOTO,
        "wide.png": PhotoReason.SIDE_TOO_LONG,
    }
    assert list(list_groups(inspection)) == ["honey/good.jpg"]
    assert all(u.message and u.family == "honey" for u in inspection.unreadable)


def test_csv_row_of_a_missing_file_is_unreadable(tmp_path):
    save(tmp_path, "1.jpg", draw_scene(1))
    write(tmp_path, "gallery.csv", b"path,family\n1.jpg,honey\n2.jpg,honey\n")

    inspection = inspect(tmp_path)

    assert [(str(u.path), u.reason) for u in inspection.unreadable] == [("2.jpg", PhotoReason.UNREADABLE)]
    assert "No such file" in inspection.unreadable[0].message


def test_families_are_counted_with_those_of_which_nothing_is_left(tmp_path):
    for seed in range(3):
        save(tmp_path, f"honey/{seed}.jpg", draw_scene(seed))
    save(tmp_path, "mason/1.jpg", draw_scene(7))
    save(tmp_path, "mason/1.png", draw_scene(7))
    save(tmp_path, "mining/1.jpg", draw_scene(8))
    write(tmp_path, "wool/1.jpg", b"broken")

    inspection = inspect(tmp_path)

    assert inspection.families == (
        FamilySummary(family="honey", photos=3, groups=3),
        FamilySummary(family="mason", photos=2, groups=1),
        FamilySummary(family="mining", photos=1, groups=1),
        FamilySummary(family="wool", photos=0, groups=0),
    )
    assert [family.family for family in inspection.small_families] == ["mason", "mining", "wool"]


def test_gallery_of_which_nothing_is_left_is_refused(tmp_path):
    write(tmp_path, "honey/1.jpg", b"broken")
    write(tmp_path, "honey/2.jpg", b"")

    with pytest.raises(GalleryError, match=r"none of the 2 photos can be used.*honey/1\.jpg: The file is not a photo"):
        inspect(tmp_path)


def test_gallery_of_nothing_but_conflicts_is_refused(tmp_path):
    save(tmp_path, "honey/1.jpg", draw_scene(1))
    save(tmp_path, "mason/1.jpg", draw_scene(1))

    with pytest.raises(GalleryError, match="the same photo in two families"):
        inspect(tmp_path)


def test_digest_knows_contents_families_and_groups_but_no_paths(tmp_path):
    for seed in range(4):
        save(tmp_path, f"one/honey/{seed}.jpg", draw_scene(seed))
        save(tmp_path, f"two/honey/deep/photo{9 - seed}.jpg", draw_scene(seed))
        save(tmp_path, f"three/mason/{seed}.jpg", draw_scene(seed))
        save(tmp_path, f"four/{seed}.jpg", draw_scene(seed))
        save(tmp_path, f"five/honey/{seed}.jpg", draw_scene(seed), quality=80)
    write(tmp_path, "four/gallery.csv", b"path,family,group\n" + b"".join(b"%d.jpg,honey,1\n" % n for n in range(4)))

    digests = {name: inspect(tmp_path / name).digest for name in ("one", "two", "three", "four", "five")}

    assert digests["one"] == digests["two"]
    assert len(set(digests.values())) == 4
    assert all(len(digest) == 64 for digest in digests.values())


def test_inspection_is_the_same_however_many_workers(tiny_gallery):
    assert inspect(tiny_gallery, workers=1) == inspect(tiny_gallery, workers=7)


def test_distinct_textures_of_a_family_are_distinct_groups(tiny_gallery):
    inspection = inspect(tiny_gallery)

    assert [(family.photos, family.groups) for family in inspection.families] == [(6, 6)] * 3


def test_progress_counts_every_photo(tiny_gallery, monkeypatch):
    monkeypatch.setattr(inspection_module, "PHOTOS_AT_ONCE", 5)
    done: list[int] = []

    inspect(tiny_gallery, advance=done.append)

    assert sum(done) == 18


def test_inspected_photos_carry_their_hashes(tmp_path):
    save(tmp_path, "honey/1.png", draw_scene(1))

    (photo,) = inspect(tmp_path).photos

    assert photo.sha256 == hashlib.sha256((tmp_path / "honey/1.png").read_bytes()).hexdigest()
    assert len(bytes.fromhex(photo.perceptual_hash)) == 8
    assert photo.group == f"photo:{photo.sha256[:16]}"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED_PHOTOS, reason="BEEDEX_SHARED_PHOTOS is not set")
@pytest.mark.parametrize(("folder", "count"), [("wildbees", 154), ("six-types", 119), ("not-bees", 75)])
def test_real_photos_are_kept_with_the_groups_of_their_csv(folder, count):
    gallery = scan_gallery(Path(SHARED_PHOTOS or "", folder))

    inspection = inspect_gallery(gallery)

    assert gallery.layout == "csv"
    assert len(inspection.photos) == count
    assert all(each.group == each.photo.group for each in inspection.photos)
    assert inspection.near_duplicates == ()
    assert inspection.unreadable == ()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED_PHOTOS, reason="BEEDEX_SHARED_PHOTOS is not set")
def test_altered_copies_of_real_photos_are_found_and_nothing_else(tmp_path):
    for path in sorted(Path(SHARED_PHOTOS or "", "wildbees").glob("*/*.jpg"))[::5]:
        write(tmp_path, f"bee/{path.name}", path.read_bytes())
        with Image.open(path) as image:
            save(tmp_path, f"bee/{path.stem}_copy.jpg", crop(image, 0.02), quality=60)

    groups = list_groups(inspect(tmp_path))

    assert set(Counter(groups.values()).values()) == {2}
    assert all(group == groups[name.replace("_copy", "")] for name, group in groups.items())
