"""What changes an index, and what shows of it, by both clients against a server on an index of its own."""

import shutil

import numpy as np
import pytest

from beedex.client import (
    ClientError,
    EntryToUpsert,
    NotFoundError,
    PhotoError,
    PreconditionError,
    RebuildProgress,
    RebuildSummary,
    RequestError,
)
from beedex.index.rebuild import build_index

UNKNOWN_ENTRY = "0123456789abcdef"


@pytest.fixture(scope="module")
def gallery(tiny_gallery, tmp_path_factory):
    return shutil.copytree(tiny_gallery, tmp_path_factory.mktemp("own") / "gallery")


@pytest.fixture(scope="module")
def address(server_process, gallery, tiny_bundle, tmp_path_factory):
    """A server for the tests of this file, which leave the index as they like and entries as they were."""
    home = tmp_path_factory.mktemp("own")
    build_index(gallery, tiny_bundle, home / "index")
    with server_process(home / "index", home, "--gallery", gallery) as (_, address):
        yield address


@pytest.fixture
def client(connect, address):
    return connect(address)


@pytest.fixture
def latest(client, gallery, tiny_gallery):
    """The version of a snapshot of the whole gallery, which is served."""
    shutil.rmtree(gallery)
    shutil.copytree(tiny_gallery, gallery)
    *_, summary = client.rebuild()
    assert summary.entries == 18
    return summary.snapshot


@pytest.fixture
def photo(encode_png):
    """A photo that isn't indexed, and unlike all that are."""
    return encode_png(np.random.default_rng(7).integers(0, 60, (80, 100, 3), dtype=np.uint8))


def test_entries_come_and_go_each_alone_and_are_found_at_once(client, photo):
    known = client.neighbors(photo, k=1)[0]
    outcomes = client.upsert(
        [
            EntryToUpsert(photo=photo, family="night", credit="A. Nonymous", source="the tests"),
            EntryToUpsert(photo=b"no photo", family="night"),
            EntryToUpsert(entry_id=known.entry_id, species="Osmia"),
            EntryToUpsert(entry_id=UNKNOWN_ENTRY, species="Osmia"),
        ]
    )
    entry = outcomes[0].unwrap()

    assert (entry.family, entry.credit, entry.source) == ("night", "A. Nonymous", "the tests")
    assert [type(outcome.error) for outcome in outcomes[1::2]] == [PhotoError, NotFoundError]
    assert [outcome.error.reason for outcome in outcomes[1::2]] == ["NOT_A_PHOTO", "ENTRY_NOT_FOUND"]
    assert (outcomes[2].unwrap().family, outcomes[2].unwrap().species) == (known.family, "Osmia")
    with pytest.raises(NotFoundError):
        outcomes[3].unwrap()
    assert client.neighbors(photo, k=1)[0].entry_id == entry.entry_id
    assert client.photo(entry.entry_id).content == photo

    gone = client.delete([entry.entry_id, UNKNOWN_ENTRY])
    assert gone[0].unwrap() == entry
    assert gone[1].error.reason == "ENTRY_NOT_FOUND"
    assert client.neighbors(photo, k=1)[0].entry_id != entry.entry_id


def test_the_photo_that_is_put_in_is_the_one_that_was_given_not_a_smaller_one(client, encode_png):
    large = encode_png(np.random.default_rng(3).integers(0, 255, (400, 500, 3), dtype=np.uint8))
    entry = client.upsert([EntryToUpsert(photo=large, family="night")])[0].unwrap()

    assert client.photo(entry.entry_id).content == large
    client.delete([entry.entry_id])[0].unwrap()


def test_nothing_is_done_when_a_photo_can_not_be_read(client, photo, tmp_path):
    with pytest.raises(PhotoError, match=r"none\.jpg"):
        client.upsert(
            [EntryToUpsert(photo=photo, family="night"), EntryToUpsert(photo=tmp_path / "none.jpg", family="night")]
        )
    assert "night" not in {family.name for family in client.families()}


def test_entries_that_name_nothing_or_two_things_are_mistakes(client):
    for entry in (EntryToUpsert(family="night"), EntryToUpsert(photo=b"x", entry_id=UNKNOWN_ENTRY)):
        with pytest.raises(TypeError, match="exactly one of photo, entry_id"):
            client.upsert([entry])
    with pytest.raises(TypeError, match="entry_ids are several"):
        client.delete(UNKNOWN_ENTRY)
    for call in (client.upsert, client.delete):
        with pytest.raises(RequestError) as caught:
            call([])
        assert caught.value.reason == "ENTRIES_MISSING"


def test_a_rebuild_tells_how_far_it_is_and_its_snapshot_is_served(client, gallery, latest):
    removed, renamed = sorted((gallery / "amber").iterdir())[:2]
    removed.unlink()
    shutil.move(renamed, gallery / "blue" / renamed.name)
    (gallery / "blue" / "broken.jpg").write_bytes(b"no photo")
    *progress, summary = client.rebuild()

    assert all(type(news) is RebuildProgress for news in progress)
    assert type(summary) is RebuildSummary
    assert (summary.entries, summary.embedded, summary.removed, summary.relabeled) == (17, 0, 1, 1)
    assert (summary.is_published, summary.snapshot, summary.skipped_count) == (True, latest + 1, 1)
    assert (summary.skipped[0].path, summary.skipped[0].reason) == ("blue/broken.jpg", "NOT_A_PHOTO")
    assert (client.status().snapshot, client.status().entries) == (latest + 1, 17)


def test_a_rebuild_that_is_left_is_ended_and_the_next_one_can_begin(client, latest):
    news = client.rebuild()
    next(news)
    news.close()
    # Whether the first has ended by then is the machine's affair.
    summary = None
    while summary is None:
        try:
            *_, summary = client.rebuild()
        except ClientError as error:
            assert error.reason == "BUILD_RUNNING"  # noqa: PT017 - it may or may not be raised

    assert (summary.entries, summary.snapshot) == (18, latest)


def test_a_rebuild_without_a_gallery_is_refused(connect, served_index, server_process, tmp_path):
    with server_process(served_index, tmp_path) as (_, address):
        client = connect(address)
        with pytest.raises(PreconditionError) as caught:
            list(client.rebuild())
        assert caught.value.reason == "REBUILD_NOT_CONFIGURED"
        with pytest.raises(ValueError, match="timeout_s"):
            client.rebuild(timeout_s=0)
        client.close()


def test_snapshots_are_listed_activated_and_rolled_back(client, gallery, latest):
    min((gallery / "amber").iterdir()).unlink()
    *_, summary = client.rebuild()
    former, current = client.snapshots()[-2:]

    assert (former.version, former.entries, former.is_current) == (latest, 18, False)
    assert (current.version, current.entries, current.is_current) == (latest + 1, 17, True)
    assert former.fingerprint == current.fingerprint == summary.fingerprint
    assert former.created_at <= current.created_at

    for activation in (client.activate(latest), client.activate(latest + 1), client.rollback()):
        assert {activation.former_snapshot, activation.snapshot} == {latest, latest + 1}
    assert (client.status().snapshot, client.status().entries) == (latest, 18)
    client.activate(client.snapshots()[0].version)
    with pytest.raises(PreconditionError) as caught:
        client.rollback()
    assert caught.value.reason == "NO_EARLIER_SNAPSHOT"
    with pytest.raises(NotFoundError):
        client.activate(99)


def test_another_snapshot_than_the_expected_is_refused(connect, address, gallery, latest, photo):
    careful = connect(address, expected_snapshot=latest)
    assert careful.identify(photo).snapshot == latest
    min((gallery / "amber").iterdir()).unlink()
    list(connect(address).rebuild())

    for call in (careful.status, careful.families, careful.snapshots, lambda: careful.identify(photo)):
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason == "SNAPSHOT_MISMATCH"
    assert [outcome.error.reason for outcome in careful.identify_many([photo])] == ["SNAPSHOT_MISMATCH"]


def test_a_photo_is_the_file_of_the_gallery_with_what_is_known_of_it(client, gallery, latest, tmp_path):
    del latest
    path = min(gallery.rglob("*.jpg"))
    neighbor = client.neighbors(path, k=1)[0]
    photo = client.photo(neighbor.entry_id)

    assert photo.content == path.read_bytes()
    assert (photo.media_type, photo.entry.family) == ("image/jpeg", path.parent.name)
    assert (photo.entry.entry_id, photo.entry.path) == (neighbor.entry_id, neighbor.path)
    assert photo.save(tmp_path / "saved.jpg").read_bytes() == photo.content
    assert len(client.photo(neighbor.entry_id, max_side_px=16).content) < len(photo.content)
    assert photo.to_dict()["size_bytes"] == len(photo.content)
    assert "content" not in photo.to_dict()


def test_a_photo_that_can_not_be_had_says_why(client, gallery, latest):
    del latest
    path = min(gallery.rglob("*.jpg"))
    entry_id = client.neighbors(path, k=1)[0].entry_id
    path.unlink()

    for arguments, kind, reason in (
        ((entry_id,), NotFoundError, "PHOTO_NOT_AVAILABLE"),
        ((UNKNOWN_ENTRY,), NotFoundError, "ENTRY_NOT_FOUND"),
        (("bee",), RequestError, "MALFORMED_ENTRY_ID"),
    ):
        with pytest.raises(kind) as caught:
            client.photo(*arguments)
        assert caught.value.reason == reason
    with pytest.raises(RequestError) as caught:
        client.photo(entry_id, max_side_px=3)
    assert caught.value.reason == "SIDE_OUT_OF_RANGE"
