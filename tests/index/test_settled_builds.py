"""Builds that settle changes: what is served before, during and after, and what a kill leaves."""

import hashlib
import io
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beedex.index.catalog import Catalog
from beedex.index.changes import ChangeLog, locate_photo
from beedex.index.errors import GalleryError
from beedex.index.index import Index
from beedex.index.overview import get_status
from beedex.index.progress import ignore_progress
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.index.snapshots import current_version, list_snapshots

PHOTO_COUNT = 18
DATA_FILES = ("vectors.faiss", "entries.sqlite")


def draw_photo(seed):
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def name_photo(data):
    return hashlib.sha256(data).hexdigest()


def read_data(index_dir):
    directory = index_dir / "snapshots" / f"{current_version(index_dir):06}"
    return {name: (directory / name).read_bytes() for name in DATA_FILES}


def read_answers(index_dir):
    """Every entry with its similarity to a fixed query, as searches find it."""
    with Searcher.open(index_dir) as searcher:
        query = np.ones(searcher.dimension, np.float32) / np.float32(np.sqrt(searcher.dimension))
        return searcher.neighbors(query, 100)


def read_families(index_dir):
    return {neighbor.entry.path: neighbor.entry.family for neighbor in read_answers(index_dir)}


def count_changes(index_dir):
    status = get_status(index_dir)
    return status.pending, status.kept


def find(index, path):
    return next(found.entry for found in read_answers(index.directory) if found.entry.path == path)


@pytest.fixture
def gallery(tiny_gallery_copy):
    return tiny_gallery_copy


@pytest.fixture
def index_dir(gallery, tiny_bundle, tmp_path):
    build_index(gallery, tiny_bundle, tmp_path / "index")
    return tmp_path / "index"


def change_some(index_dir):
    """A photo put in, one relabeled and one taken out."""
    with Index.open(index_dir) as index:
        index.upsert(draw_photo(1), "dawn", path="new.png")
        index.relabel(find(index, "amber/amber_000.jpg").entry_id, "blue")
        index.delete(find(index, "clover/clover_000.jpg").entry_id)


def test_a_build_makes_the_changes_part_of_the_snapshot_and_answers_stay_the_same(index_dir, gallery, tiny_bundle):
    change_some(index_dir)
    before, counts = read_answers(index_dir), count_changes(index_dir)

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert counts == (3, 0)
    assert count_changes(index_dir) == (0, 3)
    assert (summary.snapshot, summary.published, summary.changes) == (2, True, 3)
    assert (summary.entries, summary.embedded, summary.reused) == (PHOTO_COUNT, 0, PHOTO_COUNT)
    assert (summary.removed, summary.relabeled) == (1, 1)
    assert read_answers(index_dir) == before
    with Searcher.open(index_dir) as searcher:
        assert searcher.view.changes == ()
        assert len(searcher.snapshot.entries) == PHOTO_COUNT


def test_a_second_build_settles_and_publishes_nothing(index_dir, gallery, tiny_bundle):
    change_some(index_dir)
    build_index(gallery, tiny_bundle, index_dir)
    before = (index_dir / "changes.sqlite").read_bytes(), read_answers(index_dir)

    summary = build_index(gallery, tiny_bundle, index_dir)

    assert (summary.snapshot, summary.published, summary.embedded) == (2, False, 0)
    assert list_snapshots(index_dir) == (1, 2)
    assert ((index_dir / "changes.sqlite").read_bytes(), read_answers(index_dir)) == before


def test_the_same_changes_give_the_same_bytes_whenever_builds_came_between(gallery, tiny_bundle, tmp_path):
    for name in ("late", "early", "between"):
        build_index(gallery, tiny_bundle, tmp_path / name)
    change_some(tmp_path / "late")
    with Index.open(tmp_path / "between") as index:
        index.upsert(draw_photo(1), "ember", path="other name.png")
        index.delete(find(index, "amber/amber_000.jpg").entry_id)
        build_index(gallery, tiny_bundle, tmp_path / "between")
        index.upsert(gallery / "amber" / "amber_000.jpg", "blue", path="amber/amber_000.jpg")
        index.delete(name_photo(draw_photo(1))[:16])
        build_index(gallery, tiny_bundle, tmp_path / "between")
        index.upsert(draw_photo(1), "dawn", path="new.png")
        index.delete(find(index, "clover/clover_000.jpg").entry_id)

    # As a gallery of files would have it, but for what the entries are called.
    (gallery / "dawn").mkdir()
    (gallery / "dawn" / "new.png").write_bytes(draw_photo(1))
    (gallery / "clover" / "clover_000.jpg").unlink()
    (gallery / "amber" / "amber_000.jpg").rename(gallery / "blue" / "amber_000.jpg")
    build_index(gallery, tiny_bundle, tmp_path / "files")
    shutil.rmtree(gallery / "dawn")
    for name in ("late", "between"):
        build_index(gallery, tiny_bundle, tmp_path / name)

    assert read_data(tmp_path / "late")["vectors.faiss"] == read_data(tmp_path / "files")["vectors.faiss"]
    assert read_data(tmp_path / "between")["vectors.faiss"] == read_data(tmp_path / "late")["vectors.faiss"]


def test_a_new_embedder_embeds_what_was_put_in_from_the_kept_copies_and_not_what_was_taken_out(
    index_dir, gallery, tiny_bundle, other_tiny_bundle
):
    change_some(index_dir)
    expected = read_families(index_dir)
    build_index(gallery, tiny_bundle, index_dir)

    summary = build_index(gallery, other_tiny_bundle, index_dir)

    assert (summary.entries, summary.embedded, summary.reused, summary.skipped) == (PHOTO_COUNT, PHOTO_COUNT, 0, ())
    assert read_families(index_dir) == expected
    assert get_status(index_dir).embeddings[summary.fingerprint] == PHOTO_COUNT
    with Index.open(index_dir) as index:
        (nearest,) = index.neighbors(draw_photo(1), 1)
        assert nearest.entry.path == "new.png"
        assert nearest.similarity == pytest.approx(1, abs=1e-6)
        # The old embeddings stay: going back costs nothing.
        assert build_index(gallery, tiny_bundle, index_dir).embedded == 0


def test_a_new_embedder_at_the_first_build_after_the_changes_embeds_what_was_put_in(
    index_dir, gallery, other_tiny_bundle
):
    change_some(index_dir)
    expected = read_families(index_dir)

    summary = build_index(gallery, other_tiny_bundle, index_dir)

    assert (summary.entries, summary.embedded, summary.skipped) == (PHOTO_COUNT, PHOTO_COUNT, ())
    assert read_families(index_dir) == expected
    assert count_changes(index_dir) == (0, 3)


def test_a_kept_copy_that_is_damaged_is_listed_and_comes_back_when_it_is_mended(index_dir, gallery, other_tiny_bundle):
    change_some(index_dir)
    copy = locate_photo(index_dir, name_photo(draw_photo(1)))
    copy.write_bytes(b"damaged")

    damaged = build_index(gallery, other_tiny_bundle, index_dir)
    copy.write_bytes(draw_photo(1))
    mended = build_index(gallery, other_tiny_bundle, index_dir)

    assert [(skip.path, skip.reason) for skip in damaged.skipped] == [("new.png", "CHANGED")]
    assert (damaged.entries, mended.entries, mended.embedded) == (PHOTO_COUNT - 1, PHOTO_COUNT, 1)


def test_the_gallery_may_agree_and_the_change_and_its_copy_go(index_dir, gallery, tiny_bundle):
    change_some(index_dir)
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "dawn").mkdir()
    (gallery / "dawn" / "new.png").write_bytes(draw_photo(1))
    (gallery / "amber" / "amber_000.jpg").rename(gallery / "blue" / "amber_000.jpg")

    build_index(gallery, tiny_bundle, index_dir)

    assert count_changes(index_dir) == (0, 1)
    assert not locate_photo(index_dir, name_photo(draw_photo(1))).exists()
    families = read_families(index_dir)
    assert (families["dawn/new.png"], families["blue/amber_000.jpg"]) == ("dawn", "blue")
    assert "clover/clover_000.jpg" not in families


def test_the_gallery_overrules_by_saying_something_new(index_dir, gallery, tiny_bundle):
    change_some(index_dir)
    build_index(gallery, tiny_bundle, index_dir)
    (gallery / "amber" / "amber_000.jpg").rename(gallery / "clover" / "amber_000.jpg")
    (gallery / "clover" / "clover_000.jpg").rename(gallery / "amber" / "clover_000.jpg")
    (gallery / "blue" / "new.png").write_bytes(draw_photo(1))

    build_index(gallery, tiny_bundle, index_dir)

    families = read_families(index_dir)
    assert (families["clover/amber_000.jpg"], families["amber/clover_000.jpg"]) == ("clover", "amber")
    assert families["blue/new.png"] == "blue"
    assert count_changes(index_dir) == (0, 0)


@pytest.mark.parametrize("settle_before", [True, False])
def test_a_photo_that_is_away_for_a_build_comes_back_as_it_was_changed(
    index_dir, gallery, tiny_bundle, tmp_path, settle_before
):
    change_some(index_dir)
    expected = read_families(index_dir)
    if settle_before:
        build_index(gallery, tiny_bundle, index_dir)
    away = [gallery / "amber" / "amber_000.jpg", gallery / "clover" / "clover_000.jpg"]
    for photo in away:
        photo.rename(tmp_path / photo.name)

    build_index(gallery, tiny_bundle, index_dir)
    while_away = read_families(index_dir)
    for photo in away:
        (tmp_path / photo.name).rename(photo)
    summary = build_index(gallery, tiny_bundle, index_dir)

    # An entry leaves the index with its photo, relabeled or not.
    assert while_away == {path: family for path, family in expected.items() if path != "amber/amber_000.jpg"}
    assert read_families(index_dir) == expected
    assert summary.embedded == 0


def test_what_comes_while_a_build_embeds_is_taken_in_by_the_same_build(gallery, tiny_bundle, index_dir):
    """The reporter is called when embedding begins: after the changes were looked at for the first time."""
    (gallery / "blue" / "new.png").write_bytes(draw_photo(2))

    @contextmanager
    def meddle(label, _total):
        if label == "embedding":
            change_some(index_dir)
        yield ignore_progress

    summary = build_index(gallery, tiny_bundle, index_dir, report=meddle)

    assert (summary.changes, summary.entries) == (3, PHOTO_COUNT + 1)
    assert (summary.embedded, summary.reused) == (1, PHOTO_COUNT)
    assert count_changes(index_dir) == (0, 3)
    assert read_families(index_dir)["new.png"] == "dawn"


def test_a_build_after_everything_was_taken_out_publishes_nothing(index_dir, gallery, tiny_bundle):
    with Index.open(index_dir) as index:
        for neighbor in read_answers(index_dir):
            index.delete(neighbor.entry.entry_id)

    with pytest.raises(GalleryError, match="all were taken out"):
        build_index(gallery, tiny_bundle, index_dir)

    assert list_snapshots(index_dir) == (1,)
    assert count_changes(index_dir) == (PHOTO_COUNT, 0)
    assert read_answers(index_dir) == ()


@pytest.fixture
def changed(tiny_gallery, tiny_bundle, tmp_path):
    """An index with changes that no build has settled: a photo put in, one put in and taken out again, and others."""
    build_index(tiny_gallery, tiny_bundle, tmp_path / "changed")
    change_some(tmp_path / "changed")
    with Index.open(tmp_path / "changed") as index:
        index.delete(index.upsert(draw_photo(2), "dawn").entry_id)
    return tmp_path / "changed"


def build_and_check(index_dir, gallery, bundle, expected, answers):
    """The next build after a kill ends where an undisturbed one does, and what is served was right before."""
    assert read_answers(index_dir) == answers
    assert list((index_dir / "snapshots").glob("[0-9]*")) != []

    summary = build_index(gallery, bundle, index_dir)

    assert summary.embedded == 0
    assert (read_data(index_dir), read_answers(index_dir)) == (expected, answers)
    assert count_changes(index_dir) == (0, 4)
    with ChangeLog(index_dir) as log:
        log.check()
        assert name_photo(draw_photo(1)) in log.list_photos()
        log.sweep()
        assert log.list_photos() == {name_photo(draw_photo(1))}
    with Catalog(index_dir / "catalog.sqlite") as catalog:
        catalog.verify()
    assert [path.name for path in index_dir.rglob(".*")] == []


def kill_builds(killer, changed, gallery, bundle, tmp_path, choose):
    answers = read_answers(changed)
    undisturbed = Path(shutil.copytree(changed, tmp_path / "undisturbed"))
    ended_by, events = killer.build(undisturbed, "event", -1)
    assert (ended_by, read_answers(undisturbed)) == (0, answers)
    expected = read_data(undisturbed)
    for instant in choose(events):
        index_dir = Path(shutil.copytree(changed, tmp_path / "killed"))
        assert killer.build(index_dir, "event", instant) == (signal.SIGKILL, instant)
        build_and_check(index_dir, gallery, bundle, expected, answers)
        shutil.rmtree(index_dir)


def test_a_build_that_is_killed_while_it_publishes_or_settles_loses_no_change_and_no_answer(
    killer, changed, tiny_gallery, tiny_bundle, tmp_path
):
    def choose(events):
        # The last are those of publishing and settling.
        return sorted({events - 3, events - 1, events, *np.random.default_rng(0).integers(1, events, 5).tolist()})

    kill_builds(killer, changed, tiny_gallery, tiny_bundle, tmp_path, choose)


@pytest.mark.slow
def test_a_build_that_is_killed_at_any_file_operation_loses_no_change_and_no_answer(
    killer, changed, tiny_gallery, tiny_bundle, tmp_path
):
    kill_builds(killer, changed, tiny_gallery, tiny_bundle, tmp_path, lambda events: range(1, events + 1))
