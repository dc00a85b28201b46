"""Building an index from real photos with a real network: what is embedded, what is published, and what survives."""

import os
import shutil
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.catalog import Catalog
from beedex.index.contents import CLOCK_TICK_NS
from beedex.index.embedder import Embedder
from beedex.index.embedding_run import ChangedPhotoError, embed_photos
from beedex.index.errors import (
    GalleryError,
)
from beedex.index.photos import DEFAULT_LIMITS
from beedex.index.preprocessing import prepare
from beedex.index.progress import ignore_progress
from beedex.index.rebuild import build_index
from beedex.index.snapshots import current_version, list_snapshots, load_snapshot, rollback_snapshot
from beedex.index.vectors import SearchSettings

PHOTO_COUNT = 18
DATA_FILES = ("vectors.faiss", "entries.sqlite")


def read_data(index_dir):
    """The bytes of the current snapshot's data files."""
    directory = index_dir / "snapshots" / f"{current_version(index_dir):06}"
    return {name: (directory / name).read_bytes() for name in DATA_FILES}


def build_undisturbed(gallery, bundle, tmp_path):
    """What a first build of this gallery publishes: the oracle for every other way of getting there."""
    index_dir = tmp_path / "undisturbed"
    shutil.rmtree(index_dir, ignore_errors=True)
    build_index(gallery, bundle, index_dir)
    return read_data(index_dir)


def read_paths(index_dir):
    snapshot = load_snapshot(index_dir)
    return {entry.path: entry.family for entry in snapshot.entries.read(snapshot.entries.ids)}


def let_clock_tick(gallery):
    """Wait until the files are older than a file system's clock can blur."""
    newest = max(path.stat().st_ctime_ns for path in gallery.rglob("*"))
    while time.time_ns() - newest <= CLOCK_TICK_NS:
        time.sleep(0.01)


def save_photo(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def index_dir(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def gallery(tiny_gallery_copy):
    return tiny_gallery_copy


def test_a_first_build_embeds_every_photo_as_the_embedder_does(tiny_gallery, tiny_bundle, index_dir):
    summary = build_index(tiny_gallery, tiny_bundle, index_dir)

    snapshot = load_snapshot(index_dir, expected_fingerprint=summary.fingerprint)
    entries = snapshot.entries.read(snapshot.entries.ids)
    with Embedder.open(load_bundle(tiny_bundle)) as embedder:
        expected = embedder.embed(np.stack([prepare((tiny_gallery / entry.path).read_bytes()) for entry in entries]))
    np.testing.assert_array_equal(snapshot.vectors.get(snapshot.entries.ids), expected)
    assert (summary.entries, summary.embedded, summary.reused, summary.removed) == (PHOTO_COUNT, PHOTO_COUNT, 0, 0)
    assert (summary.skipped, summary.copies, summary.snapshot, summary.published) == ((), 0, 1, True)
    assert snapshot.manifest.families == {"amber": 6, "blue": 6, "clover": 6}
    assert {entry.path.split("/")[0] for entry in entries} == {entry.family for entry in entries}


def test_two_first_builds_give_the_same_bytes(tiny_gallery, tiny_bundle, tmp_path):
    first = build_undisturbed(tiny_gallery, tiny_bundle, tmp_path)

    assert build_undisturbed(tiny_gallery, tiny_bundle, tmp_path) == first


def test_a_second_build_embeds_and_publishes_nothing(tiny_gallery, tiny_bundle, index_dir):
    build_index(tiny_gallery, tiny_bundle, index_dir)

    summary = build_index(tiny_gallery, tiny_bundle, index_dir)

    assert (summary.entries, summary.embedded, summary.reused) == (PHOTO_COUNT, 0, PHOTO_COUNT)
    assert (summary.snapshot, summary.published) == (1, False)
    assert list_snapshots(index_dir) == (1,)


OPENED: list[str] = []
sys.addaudithook(lambda event, details: OPENED.append(str(details[0])) if event == "open" else None)


def test_another_wish_for_the_search_is_published_without_embedding(tiny_gallery, tiny_bundle, index_dir):
    build_index(tiny_gallery, tiny_bundle, index_dir)
    wish = SearchSettings(kind="ivf", recall=0.9)

    changed, same = (build_index(tiny_gallery, tiny_bundle, index_dir, search=wish) for _ in range(2))

    assert (changed.published, changed.embedded, changed.snapshot) == (True, 0, 2)
    assert (same.published, same.snapshot) == (False, 2)
    manifest = load_snapshot(index_dir).manifest
    assert (manifest.index_kind, manifest.search_settings) == ("ivf", wish)


def test_unchanged_photos_are_not_even_opened(gallery, tiny_bundle, index_dir):
    let_clock_tick(gallery)
    build_index(gallery, tiny_bundle, index_dir)
    save_photo(gallery / "blue" / "new.png", seed=1)
    OPENED.clear()

    build_index(gallery, tiny_bundle, index_dir)

    assert {path for path in OPENED if path.startswith(str(gallery))} == {str(gallery / "blue" / "new.png")}


def test_a_photo_replaced_under_its_old_size_and_time_is_read_again(gallery, tiny_bundle, index_dir):
    let_clock_tick(gallery)
    build_index(gallery, tiny_bundle, index_dir)
    photo = gallery / "blue" / "blue_000.jpg"
    status = photo.stat()
    data = bytearray(photo.read_bytes())
    data[-20] ^= 1
    photo.write_bytes(data)
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.embedded, summary.removed) == (1, 1)


def test_a_photo_read_right_after_it_was_written_is_not_trusted_to_stay(gallery, tiny_bundle, index_dir):
    let_clock_tick(gallery)
    save_photo(gallery / "blue" / "new.png", seed=1)

    build_index(gallery, tiny_bundle, index_dir)

    with Catalog(index_dir / "catalog.sqlite", read_only=True) as catalog:
        remembered = catalog.read_hashes()
    assert len(remembered) == PHOTO_COUNT
    assert "blue/new.png" not in remembered


def test_renamed_and_moved_photos_keep_their_embeddings(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").rename(gallery / "blue" / "renamed.jpg")
    (gallery / "blue" / "deep").mkdir()
    (gallery / "blue" / "blue_001.jpg").rename(gallery / "blue" / "deep" / "moved.jpg")

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.embedded, summary.reused, summary.removed, summary.relabeled) == (0, PHOTO_COUNT, 0, 0)
    assert (summary.snapshot, summary.published) == (2, True)
    assert {"blue/renamed.jpg", "blue/deep/moved.jpg"} <= read_paths(index_dir).keys()
    assert read_data(index_dir) == build_undisturbed(gallery, tiny_bundle, tmp_path)


def test_relabeled_photos_are_relabeled_without_embedding(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").rename(gallery / "amber" / "blue_000.jpg")

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.embedded, summary.removed, summary.relabeled) == (0, 0, 1)
    assert read_paths(index_dir)["amber/blue_000.jpg"] == "amber"
    assert load_snapshot(index_dir).manifest.families == {"amber": 7, "blue": 5, "clover": 6}
    assert read_data(index_dir) == build_undisturbed(gallery, tiny_bundle, tmp_path)


def test_vanished_changed_and_new_photos(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").unlink()
    save_photo(gallery / "blue" / "blue_001.jpg", seed=1)
    save_photo(gallery / "clover" / "new.png", seed=2)

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.entries, summary.embedded, summary.reused, summary.removed) == (18, 2, 16, 2)
    assert "blue/blue_000.jpg" not in read_paths(index_dir)
    assert read_data(index_dir) == build_undisturbed(gallery, tiny_bundle, tmp_path)


def test_a_photo_that_comes_back_is_not_embedded_again(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").rename(tmp_path / "away.jpg")
    build_index(gallery, tiny_bundle, index_dir)
    (tmp_path / "away.jpg").rename(gallery / "blue" / "blue_000.jpg")

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.entries, summary.embedded) == (PHOTO_COUNT, 0)


def test_unreadable_photos_are_listed_and_the_rest_is_indexed(gallery, tiny_bundle, index_dir):
    whole = (gallery / "blue" / "blue_000.jpg").read_bytes()
    (gallery / "blue" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (gallery / "amber" / "empty.jpg").write_bytes(b"")
    (gallery / "amber" / "text.png").write_text("no photo")
    (gallery / "clover" / "dangling.jpg").symlink_to("nowhere")

    first = build_index(gallery, tiny_bundle, index_dir)
    second = build_index(gallery, tiny_bundle, index_dir)

    assert [(skip.path, skip.reason) for skip in first.skipped] == [
        ("amber/empty.jpg", "EMPTY"),
        ("amber/text.png", "NOT_A_PHOTO"),
        ("blue/cut.jpg", "DAMAGED"),
        ("clover/dangling.jpg", "UNREADABLE"),
    ]
    assert (first.entries, first.embedded) == (PHOTO_COUNT, PHOTO_COUNT)
    assert second.skipped == first.skipped
    assert (second.embedded, second.published) == (0, False)
    with Catalog(index_dir / "catalog.sqlite", read_only=True) as catalog:
        assert tuple(catalog.read_skipped()) == first.skipped


def test_a_mended_photo_is_indexed_by_the_next_build(gallery, tiny_bundle, index_dir):
    whole = (gallery / "blue" / "blue_000.jpg").read_bytes()
    (gallery / "blue" / "blue_000.jpg").write_bytes(whole[: len(whole) // 2])
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").write_bytes(whole)

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.embedded, summary.skipped) == (1, ())


def test_copies_in_one_family_count_once(gallery, tiny_bundle, index_dir):
    shutil.copy(gallery / "blue" / "blue_000.jpg", gallery / "blue" / "copy.jpg")

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.entries, summary.copies, summary.skipped) == (PHOTO_COUNT, 1, ())
    assert "blue/copy.jpg" not in read_paths(index_dir)


def test_a_photo_in_two_families_is_left_out_and_listed_with_both(gallery, tiny_bundle, index_dir):
    shutil.copy(gallery / "blue" / "blue_000.jpg", gallery / "amber" / "copy.jpg")

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert [(skip.path, skip.reason) for skip in summary.skipped] == [
        ("amber/copy.jpg", "CONFLICT"),
        ("blue/blue_000.jpg", "CONFLICT"),
    ]
    assert "blue/blue_000.jpg in family 'blue', this one in 'amber'" in summary.skipped[0].message
    assert (summary.entries, summary.embedded) == (PHOTO_COUNT - 1, PHOTO_COUNT - 1)


def test_a_gallery_csv_gives_the_entries_their_credits(gallery, tiny_bundle, index_dir):
    (gallery / "gallery.csv").write_text(
        "path,family,group,species,source,license,credit\n"
        'blue/blue_000.jpg,Bombus,nest 1,Bombus terrestris,https://example.org/1,CC BY,"Ä, B."\n'
        "amber/amber_000.jpg,Andrena,,,,,\n"
    )

    build_index(gallery, tiny_bundle, index_dir)

    snapshot = load_snapshot(index_dir)
    entries = {entry.path: entry for entry in snapshot.entries.read(snapshot.entries.ids)}
    bombus = entries["blue/blue_000.jpg"]
    assert (bombus.family, bombus.group, bombus.species) == ("Bombus", "nest 1", "Bombus terrestris")
    assert (bombus.source, bombus.license, bombus.credit) == ("https://example.org/1", "CC BY", "Ä, B.")
    assert entries["amber/amber_000.jpg"].group is None


def test_a_gallery_without_one_readable_photo_publishes_nothing(tiny_bundle, index_dir, tmp_path):
    (tmp_path / "gallery" / "blue").mkdir(parents=True)
    (tmp_path / "gallery" / "blue" / "bad.jpg").write_bytes(b"bad")

    with pytest.raises(GalleryError, match=r"not one of the 1 photos.*blue/bad\.jpg: The file is not a photo"):
        build_index(tmp_path / "gallery", tiny_bundle, index_dir)

    assert current_version(index_dir) is None


def test_an_emptied_gallery_leaves_the_served_snapshot(gallery, tiny_bundle, index_dir):
    build_index(gallery, tiny_bundle, index_dir)
    before = read_data(index_dir)
    for photo in gallery.rglob("*.jpg"):
        photo.write_bytes(b"bad")

    with pytest.raises(GalleryError, match="not one of the 18 photos"):
        build_index(gallery, tiny_bundle, index_dir)

    assert read_data(index_dir) == before


def test_a_damaged_snapshot_is_replaced_by_the_next_build(tiny_gallery, tiny_bundle, index_dir):
    build_index(tiny_gallery, tiny_bundle, index_dir)
    whole = read_data(index_dir)
    (index_dir / "snapshots" / "000001" / "vectors.faiss").write_bytes(b"damaged")

    summary = build_index(tiny_gallery, tiny_bundle, index_dir)

    assert (summary.snapshot, summary.published, summary.embedded) == (2, True, 0)
    assert read_data(index_dir) == whole


def test_a_build_after_a_rollback_publishes_the_gallery_as_it_is(gallery, tiny_bundle, index_dir):
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "blue" / "blue_000.jpg").unlink()
    build_index(gallery, tiny_bundle, index_dir)
    rollback_snapshot(index_dir)

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.snapshot, summary.published, summary.embedded, summary.entries) == (3, True, 0, PHOTO_COUNT - 1)


def test_only_the_asked_for_number_of_snapshots_is_kept(gallery, tiny_bundle, index_dir):
    for number in range(4):
        save_photo(gallery / "blue" / "new.png", seed=number)
        build_index(gallery, tiny_bundle, index_dir, keep=2)

    assert list_snapshots(index_dir) == (3, 4)


def test_progress_adds_up_to_the_photos_of_each_step(gallery, tiny_bundle, index_dir):
    build_index(gallery, tiny_bundle, index_dir)
    save_photo(gallery / "blue" / "new.png", seed=1)
    (gallery / "blue" / "bad.png").write_bytes(b"bad")
    steps = {}

    @contextmanager
    def record(label, total):
        done: list[int] = []
        yield done.append
        steps[label] = (total, sum(done))

    build_index(gallery, tiny_bundle, index_dir, report=record)

    assert steps == {
        "reading": (PHOTO_COUNT + 2, PHOTO_COUNT + 2),
        "embedding": (2, 2),
        "publishing": (PHOTO_COUNT + 1, PHOTO_COUNT + 1),
    }


def test_a_file_that_changes_before_it_is_embedded_is_not_taken_for_the_former_photo(
    tiny_gallery, tiny_bundle, tmp_path
):
    photos = sorted(tiny_gallery.rglob("*.jpg"))[:3]

    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        failures = embed_photos(
            {f"{number:064x}": photo for number, photo in enumerate(photos)},
            load_bundle(tiny_bundle),
            catalog,
            limits=DEFAULT_LIMITS,
            advance=ignore_progress,
        )
        embeddings = catalog.count_embeddings()

    assert len(failures) == 3
    assert all(isinstance(error, ChangedPhotoError) for error in failures.values())
    assert embeddings == {}
