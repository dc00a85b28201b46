"""An index that is followed and changed, by this process and by others."""

import hashlib
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beedex.index.bundle import CARD_NAME, load_bundle
from beedex.index.changes import ChangeLog
from beedex.index.embedder import Embedder
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError, PhotoError
from beedex.index.index import Index
from beedex.index.overview import get_status
from beedex.index.pruning import prune_index
from beedex.index.publishing import publish_snapshot
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.index.snapshots import activate_snapshot, load_snapshot, rollback_snapshot

PHOTO_COUNT = 18


def draw_photo(seed, colour=(40, 70, 200)):
    """The bytes of a PNG of noise around a colour; blue if it isn't said."""
    noise = np.random.default_rng(seed).normal(0, 20, (64, 64, 3)) + colour
    file = io.BytesIO()
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def index_dir(tiny_index_copy):
    return tiny_index_copy


@pytest.fixture
def index(index_dir):
    with Index.open(index_dir) as index:
        yield index


@pytest.fixture(scope="module")
def embedder(tiny_bundle):
    with Embedder.open(load_bundle(tiny_bundle)) as embedder:
        yield embedder


@pytest.fixture
def photo(tmp_path):
    """A new photo's file."""
    path = tmp_path / "new.png"
    path.write_bytes(draw_photo(1))
    return path


def list_entries(index):
    snapshot = index.searcher.snapshot
    return snapshot.entries.read(snapshot.entries.ids)


def read_changes(index_dir):
    with ChangeLog(index_dir) as log:
        return [(change.sequence, change.sha256, change.entry) for change in log.read()]


def test_a_photo_that_is_put_in_is_found_by_the_next_search_here_and_in_another_process(index, other_process, photo):
    before = other_process.do("nearest", photo)

    entry = index.upsert(photo, "dawn", group="nest 1", credit="Ann")

    sha256 = hashlib.sha256(photo.read_bytes()).hexdigest()
    assert entry == Entry(sha256=sha256, family="dawn", path="new.png", group="nest 1", credit="Ann")
    (nearest,) = index.neighbors(photo, 1)
    assert (nearest.entry, nearest.similarity) == (entry, pytest.approx(1, abs=1e-6))
    assert index.families() == {"amber": 6, "blue": 6, "clover": 6, "dawn": 1}
    assert before[1] == "blue"
    assert other_process.do("nearest", photo) == [entry.entry_id, "dawn", "1.0000", "1"]
    assert Searcher.open(index.directory).families() == index.families()
    assert Searcher.open(index.directory, 1).families() == {"amber": 6, "blue": 6, "clover": 6}


def test_what_another_process_changes_is_seen_by_the_next_search_here(index, other_process, photo):
    (entry_id,) = other_process.do("upsert", photo, "dawn")
    put_in = index.neighbors(photo, 1)[0].entry
    other_process.do("relabel", entry_id, "ember")
    relabeled = index.neighbors(photo, 1)[0].entry
    other_process.do("delete", entry_id)

    assert (put_in.entry_id, put_in.family) == (entry_id, "dawn")
    assert (relabeled.entry_id, relabeled.family) == (entry_id, "ember")
    assert index.neighbors(photo, 1)[0].entry.family == "blue"
    with pytest.raises(LookupError, match=entry_id):
        index.relabel(entry_id, "dawn")


def test_a_published_entry_can_be_relabeled_taken_out_and_put_in_again(index, tiny_gallery):
    entry = list_entries(index)[0]
    vector = index.searcher.vector_of(entry.entry_id)

    relabeled = index.relabel(entry.entry_id, "dawn")
    after_relabeling = index.neighbors(vector, 1)[0].entry, index.families()["dawn"]
    gone = index.delete(entry.entry_id)
    after_deleting = index.neighbors(vector, PHOTO_COUNT)
    again = index.upsert(tiny_gallery / entry.path, "ember", path="again.jpg")

    assert relabeled == Entry(sha256=entry.sha256, family="dawn", path=entry.path)
    assert after_relabeling == (relabeled, 1)
    assert gone == relabeled
    assert len(after_deleting) == PHOTO_COUNT - 1
    assert entry.entry_id not in {neighbor.entry.entry_id for neighbor in after_deleting}
    (nearest,) = index.neighbors(vector, 1)
    assert (nearest.entry, nearest.similarity) == (again, pytest.approx(1, abs=1e-6))
    assert again == Entry(sha256=entry.sha256, family="ember", path="again.jpg")
    assert sum(index.families().values()) == PHOTO_COUNT


def test_changes_survive_closing(index_dir, photo):
    with Index.open(index_dir) as index:
        entry = index.upsert(photo, "dawn")
        doomed = index.neighbors(photo, 2)[1].entry
        index.delete(doomed.entry_id)
        expected = index.neighbors(photo, PHOTO_COUNT)

    with Index.open(index_dir) as index:
        assert index.neighbors(photo, PHOTO_COUNT) == expected
        assert entry in {neighbor.entry for neighbor in expected}


def test_a_photo_given_as_file_name_bytes_pixels_or_vector_gives_the_same_answer(index, photo):
    index.upsert(photo, "dawn")
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    queries = [photo, str(photo), photo.read_bytes(), pixels, index.searcher.embed(photo)]

    neighbors = [index.neighbors(query, 5) for query in queries]
    identified = [index.identify(query, 5) for query in queries]

    assert all(found == neighbors[0] for found in neighbors)
    assert all(answer.neighbors == neighbors[0] for answer in identified)
    assert len({answer.decision.family for answer in identified}) == 1


def test_a_photo_can_be_put_in_as_bytes_and_with_its_vector(index, embedder):
    data = draw_photo(2)
    vector = embedder.embed_photo(data)

    entry = index.upsert(data, "dawn", vector=vector)

    assert entry.path == entry.sha256 == hashlib.sha256(data).hexdigest()
    np.testing.assert_array_equal(index.searcher.vector_of(entry.entry_id), vector)
    np.testing.assert_array_equal(index.searcher.embed(data), vector)


def test_a_file_name_that_is_no_text_is_shown_and_not_refused(index, tmp_path):
    path = Path(str(tmp_path), b"bl\xfctenbiene.png".decode("utf-8", "surrogateescape"))
    path.write_bytes(draw_photo(2))

    entry = index.upsert(path, "dawn")

    assert entry.path == r"bl\udcfctenbiene.png"
    assert index.neighbors(path, 1)[0].entry == entry


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"photo": b"bad"}, PhotoError, "not a photo"),
        ({"photo": b""}, PhotoError, "empty"),
        ({"photo": draw_photo(1)[:-300]}, PhotoError, "damaged|cut|truncated"),
        ({"photo": Path("/nowhere.jpg")}, PhotoError, "can't be read"),
        ({"photo": Path("/")}, PhotoError, "Not a file"),
        ({"family": ""}, ValueError, "needs a family"),
        ({"family": " \t"}, ValueError, "needs a family"),
        ({"family": "\udcfc"}, ValueError, "surrogates"),
        ({"vector": np.ones(32, np.float32)}, ValueError, "norm"),
        ({"vector": np.full(32, np.nan, np.float32)}, ValueError, "NaN"),
        ({"vector": np.eye(31, dtype=np.float32)[0]}, ValueError, r"expected \(any number, 32\)"),
        ({"vector": np.eye(32, dtype=np.float32)[:1]}, ValueError, "shape"),
        ({"vector": np.eye(32)[0]}, ValueError, "float64"),
    ],
)
def test_what_can_not_be_put_in_changes_nothing(index, wrong, error, message):
    index.upsert(draw_photo(3), "dawn")
    before = read_changes(index.directory), index.families()
    arguments = {"photo": draw_photo(1), "family": "dawn"} | wrong

    with pytest.raises(error, match=message):
        index.upsert(**arguments)

    assert (read_changes(index.directory), index.families()) == before


def test_what_is_not_there_can_not_be_changed(index):
    for act in (index.delete, lambda entry_id: index.relabel(entry_id, "dawn")):
        with pytest.raises(LookupError, match="no entry has id 0000000000000000"):
            act("0" * 16)
        with pytest.raises(ValueError, match="an entry id is 16"):
            act("bee")
    with pytest.raises(ValueError, match="needs a family"):
        index.relabel(list_entries(index)[0].entry_id, " ")
    entry = index.delete(list_entries(index)[0].entry_id)
    for act in (index.delete, lambda entry_id: index.relabel(entry_id, "dawn")):
        with pytest.raises(LookupError, match="was taken out"):
            act(entry.entry_id)

    assert read_changes(index.directory) == [(1, entry.sha256, None)]


def test_a_photo_under_the_id_of_another_one_is_refused(tiny_bundle, tmp_path):
    data = draw_photo(1)
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "gallery" / "blue").mkdir(parents=True)
    (tmp_path / "gallery" / "blue" / "1.png").write_bytes(draw_photo(2))
    build_index(tmp_path / "gallery", tiny_bundle, tmp_path / "index")
    other = Entry(sha256=sha256[:16] + "0" * 48, family="blue", path="other.png")
    fingerprint = load_bundle(tiny_bundle).card.fingerprint
    vector = np.eye(32, dtype=np.float32)[:1]
    publish_snapshot(tmp_path / "index", entries=[other], vectors=vector, fingerprint=fingerprint)

    with Index.open(tmp_path / "index") as index:
        with pytest.raises(ValueError, match=f"entry id {sha256[:16]} is that of another one, other.png"):
            index.upsert(data, "dawn")
        index.delete(other.entry_id)

        assert index.upsert(data, "dawn").sha256 == sha256


def test_all_entries_can_be_taken_out(index):
    for entry in list_entries(index):
        index.delete(entry.entry_id)

    assert index.families() == {}
    assert index.neighbors(draw_photo(1), 5) == ()
    with pytest.raises(ValueError, match="needs neighbors"):
        index.identify(draw_photo(1), 5)
    assert index.upsert(draw_photo(1), "dawn") == index.neighbors(draw_photo(1), 5)[0].entry


def test_builds_of_another_process_are_followed(index, other_process, tiny_gallery_copy, tiny_bundle, photo):
    entry = index.upsert(photo, "dawn")
    shutil.copy(photo, tiny_gallery_copy / "clover")
    (tiny_gallery_copy / "amber" / "amber_000.jpg").unlink()

    published = other_process.do("build", tiny_gallery_copy, tiny_bundle)

    assert published == ["2"]
    assert index.version == 2
    assert index.families() == {"amber": 5, "blue": 6, "clover": 6, "dawn": 1}
    assert index.neighbors(photo, 1)[0].entry == entry
    assert other_process.do("count") == [str(PHOTO_COUNT)]


INTERRUPTIONS: dict[str, Callable[[], object]] = {}


def interrupt(event, details):
    """Do what is planned when a file of that name is opened for the first time."""
    if event == "open" and INTERRUPTIONS:
        act = INTERRUPTIONS.pop(Path(str(details[0])).name, None)
        if act:
            act()


sys.addaudithook(interrupt)


def test_a_change_that_a_build_settles_while_the_index_is_opened_is_seen(index, tiny_gallery, tiny_bundle, photo):
    """The former snapshot is read by then and lacks the change, and the log says that it is part of a snapshot."""
    entry = index.upsert(photo, "dawn")
    vector = index.searcher.embed(photo)
    for find in (index.neighbors, lambda *query: Searcher.open(index.directory).neighbors(*query)):
        index.relabel(entry.entry_id, f"dawn {find}")
        activate_snapshot(index.directory, 1)
        INTERRUPTIONS[CARD_NAME] = lambda: build_index(tiny_gallery, tiny_bundle, index.directory)

        (nearest,) = find(vector, 1)

        assert nearest.entry == replace(entry, family=f"dawn {find}")
        assert not INTERRUPTIONS
        assert get_status(index.directory).pending == 0


def test_a_photo_put_in_while_another_embedder_is_published_is_embedded_by_that_one(
    index, tiny_gallery, other_tiny_bundle, photo
):
    INTERRUPTIONS[CARD_NAME] = lambda: build_index(tiny_gallery, other_tiny_bundle, index.directory)

    entry = index.upsert(photo, "dawn")

    (nearest,) = index.neighbors(photo, 1)
    assert not INTERRUPTIONS
    assert index.searcher.fingerprint == load_bundle(other_tiny_bundle).card.fingerprint
    assert nearest.entry == entry
    assert nearest.similarity == pytest.approx(1, abs=1e-6)


def test_going_back_is_followed_and_what_no_build_has_settled_stays(
    index, other_process, tiny_gallery_copy, tiny_bundle
):
    (tiny_gallery_copy / "amber" / "amber_000.jpg").unlink()
    build_index(tiny_gallery_copy, tiny_bundle, index.directory)
    index.upsert(draw_photo(1), "dawn")
    in_new = index.version, index.families()
    other_process.do("rollback")
    in_old = index.version, index.families()
    activate_snapshot(index.directory, 2)

    assert in_new == (2, {"amber": 5, "blue": 6, "clover": 6, "dawn": 1})
    assert in_old == (1, {"amber": 6, "blue": 6, "clover": 6, "dawn": 1})
    assert (index.version, index.families()) == in_new


def test_a_snapshot_is_not_taken_for_an_earlier_one_of_the_same_number(index, tiny_gallery_copy, tiny_bundle):
    (tiny_gallery_copy / "amber" / "amber_000.jpg").unlink()
    build_index(tiny_gallery_copy, tiny_bundle, index.directory)
    before = index.version, index.families()["amber"]
    rollback_snapshot(index.directory)
    prune_index(index.directory, keep=1)
    (tiny_gallery_copy / "amber" / "amber_001.jpg").unlink()
    build_index(tiny_gallery_copy, tiny_bundle, index.directory)

    assert before == (2, 5)
    assert (index.version, index.families()["amber"]) == (2, 4)


def test_changes_by_another_embedder_wait_and_new_ones_are_made_by_the_current(
    index, tiny_gallery, tiny_bundle, other_tiny_bundle, photo
):
    waiting = index.upsert(photo, "dawn")
    build_index(tiny_gallery, other_tiny_bundle, index.directory)
    settled = index.neighbors(photo, 1)[0]
    rollback_snapshot(index.directory)
    in_old = index.families()
    index.upsert(draw_photo(2), "ember")
    in_old_after = index.families()
    activate_snapshot(index.directory, 2)

    assert (settled.entry, settled.similarity) == (waiting, pytest.approx(1, abs=1e-6))
    assert in_old == {"amber": 6, "blue": 6, "clover": 6}
    assert in_old_after == {"amber": 6, "blue": 6, "clover": 6, "ember": 1}
    assert index.families() == {"amber": 6, "blue": 6, "clover": 6, "dawn": 1}
    build_index(tiny_gallery, tiny_bundle, index.directory)
    assert index.families() == {"amber": 6, "blue": 6, "clover": 6, "dawn": 1, "ember": 1}


def test_a_closed_index_is_closed_and_what_was_taken_from_it_answers_vectors(index_dir):
    index = Index.open(index_dir)
    searcher = index.searcher
    vector = searcher.vector_of(list_entries(index)[0].entry_id)
    expected = index.neighbors(vector, 3)

    index.close()
    index.close()

    assert searcher.neighbors(vector, 3) == expected
    for act in (
        index.families,
        lambda: index.version,
        lambda: index.neighbors(vector, 3),
        lambda: index.upsert(draw_photo(1), "dawn"),
        lambda: index.delete(expected[0].entry.entry_id),
        lambda: index.relabel(expected[0].entry.entry_id, "dawn"),
    ):
        with pytest.raises(ValueError, match="is closed; open it again"):
            act()
    assert read_changes(index_dir) == []


def test_what_is_no_index_is_one_error(tmp_path):
    with pytest.raises(IndexDirectoryError, match="is no directory"):
        Index.open(tmp_path / "nowhere")
    with pytest.raises(IndexDirectoryError, match="holds no snapshot yet"):
        Index.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_changes_are_one_error_and_the_snapshot_stays(index_dir):
    with Index.open(index_dir) as index:
        index.upsert(draw_photo(1), "dawn")
    (index_dir / "changes.sqlite").write_bytes(b"damaged" * 1000)

    with pytest.raises(IndexDirectoryError, match=r"changes\.sqlite is damaged.*move it away to go on"):
        Index.open(index_dir)
    (index_dir / "changes.sqlite").unlink()

    assert Index.open(index_dir).families() == {"amber": 6, "blue": 6, "clover": 6}
    assert len(load_snapshot(index_dir).entries) == PHOTO_COUNT
