"""Giving back room: what no snapshot needs goes, and what any needs stays."""

import fcntl
import os
import resource
import shutil

import pytest
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.catalog import Catalog
from beedex.index.changes import ChangeLog, locate_photo
from beedex.index.embedders import list_embedders
from beedex.index.errors import IndexBusyError, IndexDirectoryError, SnapshotError
from beedex.index.index import Index
from beedex.index.overview import verify_index
from beedex.index.pruning import PruneSummary, prune_index
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.index.snapshots import activate_snapshot, current_version, list_snapshots, load_snapshot

PHOTO_COUNT = 18
NOTHING = PruneSummary(snapshots=(), embedders=(), embeddings=0)


@pytest.fixture
def gallery(tiny_gallery_copy):
    return tiny_gallery_copy


@pytest.fixture
def fingerprints(tiny_bundle, other_tiny_bundle):
    return load_bundle(tiny_bundle).card.fingerprint, load_bundle(other_tiny_bundle).card.fingerprint


@pytest.fixture
def index_dir(gallery, tiny_bundle, other_tiny_bundle, tmp_path):
    """Two snapshots of one embedder, the second without a photo of the first; then two of another embedder."""
    path = tmp_path / "index"
    build_index(gallery, tiny_bundle, path)
    (gallery / "blue" / "blue_000.jpg").unlink()
    build_index(gallery, tiny_bundle, path)
    build_index(gallery, other_tiny_bundle, path)
    (gallery / "blue" / "blue_001.jpg").unlink()
    build_index(gallery, other_tiny_bundle, path)
    return path


def count_embeddings(index_dir):
    with Catalog(index_dir / "catalog.sqlite", read_only=True) as catalog:
        return catalog.count_embeddings()


def check_whole(index_dir):
    assert [finding for finding in verify_index(index_dir) if finding.problem] == []
    for version in list_snapshots(index_dir):
        with Searcher.open(index_dir, version) as searcher:
            searcher.embed((index_dir / "photo.jpg").read_bytes())


@pytest.mark.parametrize(
    ("current", "keep", "stay", "embeddings"),
    [
        (4, 9, [1, 2, 3, 4], [18, 17]),
        (4, 4, [1, 2, 3, 4], [18, 17]),
        (4, 3, [2, 3, 4], [17, 17]),
        (4, 2, [3, 4], [0, 17]),
        (4, 1, [4], [0, 16]),
        (1, 2, [1, 4], [18, 16]),
        (1, 1, [1], [18, 0]),
        (2, 1, [2], [17, 0]),
    ],
)
def test_the_current_snapshot_and_the_newest_others_stay_with_what_they_need(
    index_dir, tiny_gallery, fingerprints, current, keep, stay, embeddings
):
    shutil.copy(tiny_gallery / "blue" / "blue_000.jpg", index_dir / "photo.jpg")
    activate_snapshot(index_dir, current)
    expected = {fingerprint: count for fingerprint, count in zip(fingerprints, embeddings, strict=True) if count}

    summary = prune_index(index_dir, keep=keep)

    assert list_snapshots(index_dir) == tuple(stay)
    assert current_version(index_dir) == current
    assert count_embeddings(index_dir) == expected
    assert summary == PruneSummary(
        snapshots=tuple(version for version in (1, 2, 3, 4) if version not in stay),
        embedders=tuple(sorted(set(fingerprints) - expected.keys())),
        embeddings=35 - sum(embeddings),
    )
    assert list_embedders(index_dir) == tuple(sorted(expected))
    check_whole(index_dir)
    assert prune_index(index_dir, keep=keep) == NOTHING


def test_the_old_embeddings_stay_until_pruned(index_dir, gallery, tiny_bundle, other_tiny_bundle):
    assert build_index(gallery, tiny_bundle, index_dir).embedded == 0
    assert build_index(gallery, other_tiny_bundle, index_dir, keep=1).embedded == 0
    assert build_index(gallery, tiny_bundle, index_dir, keep=1).embedded == 0

    prune_index(index_dir, keep=1)

    assert build_index(gallery, tiny_bundle, index_dir).embedded == 0
    assert build_index(gallery, other_tiny_bundle, index_dir).embedded == PHOTO_COUNT - 2


def test_room_is_given_back_to_the_disk(gallery, tiny_bundle, tmp_path):
    for number in range(150):
        Image.new("RGB", (16, 16), (number, 90, 6)).save(gallery / "blue" / f"more_{number}.png")
    build_index(gallery, tiny_bundle, tmp_path / "index")
    for photo in gallery.glob("blue/more_*"):
        photo.unlink()
    build_index(gallery, tiny_bundle, tmp_path / "index")
    before = (tmp_path / "index" / "catalog.sqlite").stat().st_size

    assert prune_index(tmp_path / "index", keep=1).embeddings == 150

    assert (tmp_path / "index" / "catalog.sqlite").stat().st_size < before / 2


def test_changes_and_what_they_need_stay(index_dir, gallery, other_tiny_bundle):
    photo = (gallery / "amber" / "amber_000.jpg").read_bytes() + b"\0"
    with Index.open(index_dir) as index:
        put_in = index.upsert(photo, "dawn", path="new.jpg")
        gone = next(found.entry for found in index.neighbors(photo, 2) if found.entry != put_in)
        index.delete(gone.entry_id)
        expected = index.neighbors(photo, PHOTO_COUNT)
        orphan = locate_photo(index_dir, "e" * 64)
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"of a change that failed")

        prune_index(index_dir, keep=1)

        assert index.neighbors(photo, PHOTO_COUNT) == expected
    with ChangeLog(index_dir) as log:
        assert log.list_photos() == {put_in.sha256}
    summary = build_index(gallery, other_tiny_bundle, index_dir)
    with Index.open(index_dir) as index:
        assert index.neighbors(photo, PHOTO_COUNT) == expected
    # The photo taken out may be put in again.
    prune_index(index_dir, keep=1)
    with Index.open(index_dir) as index:
        index.upsert(gallery / gone.path, gone.family, path=gone.path)
    assert (summary.embedded, build_index(gallery, other_tiny_bundle, index_dir).embedded) == (0, 0)


def test_a_program_that_holds_the_index_open_goes_on(index_dir):
    with Index.open(index_dir) as index:
        old = Searcher.open(index_dir, 3)
        query = old.vector_of(old.snapshot.entries.read(old.snapshot.entries.ids)[0].entry_id)
        expected = index.neighbors(query, 20), old.neighbors(query, 20)

        prune_index(index_dir, keep=1)

        assert (index.neighbors(query, 20), old.neighbors(query, 20)) == expected
        assert index.version == 4


@pytest.mark.parametrize("keep", [0, -1])
def test_nothing_is_no_number_to_keep(index_dir, keep):
    with pytest.raises(ValueError, match=f"the current snapshot stays, expected keep >= 1, received {keep}"):
        prune_index(index_dir, keep=keep)

    assert list_snapshots(index_dir) == (1, 2, 3, 4)


def test_what_is_no_index_is_one_error_and_stays_as_it_is(tmp_path):
    with pytest.raises(IndexDirectoryError, match="holds no snapshot yet"):
        prune_index(tmp_path, keep=1)
    with pytest.raises(IndexDirectoryError, match="is no directory"):
        prune_index(tmp_path / "nowhere", keep=1)

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_snapshot_among_those_that_stay_stops_it_and_one_among_the_others_does_not(index_dir):
    before = count_embeddings(index_dir)
    vectors = index_dir / "snapshots" / "000002" / "vectors.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-1])

    with pytest.raises(SnapshotError, match=r"000002.*vectors\.faiss is damaged"):
        prune_index(index_dir, keep=3)
    stopped = list_snapshots(index_dir), count_embeddings(index_dir), len(list_embedders(index_dir))

    assert stopped == ((1, 2, 3, 4), before, 2)
    assert prune_index(index_dir, keep=2).snapshots == (1, 2)


@pytest.mark.parametrize("name", ["catalog.sqlite", "changes.sqlite"])
def test_a_damaged_catalog_or_log_stops_it(index_dir, name):
    (index_dir / name).write_bytes(b"damaged" * 1000)

    with pytest.raises(IndexDirectoryError, match=f"{name} is damaged"):
        prune_index(index_dir, keep=1)

    assert list_snapshots(index_dir) == (1, 2, 3, 4)
    assert len(list_embedders(index_dir)) == 2


def test_a_build_at_work_stops_it(index_dir):
    # A lock of the kernel's belongs to the open file, and not to the process.
    descriptor = os.open(index_dir / "LOCK", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(IndexBusyError, match="expected one build at a time"):
            prune_index(index_dir, keep=1)
    finally:
        os.close(descriptor)

    assert list_snapshots(index_dir) == (1, 2, 3, 4)


def test_on_a_full_disk_it_is_one_error_and_what_stays_is_whole(index_dir, tiny_gallery):
    shutil.copy(tiny_gallery / "blue" / "blue_000.jpg", index_dir / "photo.jpg")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(IndexDirectoryError, match="can't be"):
            prune_index(index_dir, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_whole(index_dir)

    prune_index(index_dir, keep=1)

    check_whole(index_dir)
    assert sum(count_embeddings(index_dir).values()) == len(load_snapshot(index_dir).entries) == 16
