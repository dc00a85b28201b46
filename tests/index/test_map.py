"""The map of a snapshot as a reader sees it: its file, and where queries and changed entries fall."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beedex.index.changes import Change
from beedex.index.entries import Entry
from beedex.index.errors import SnapshotError
from beedex.index.map import SAME_WITHIN, GalleryMap, decode_map, encode_map
from beedex.index.publishing import publish_snapshot
from beedex.index.rebuild import build_index
from beedex.index.snapshots import load_snapshot
from beedex.index.vectors import NO_ID
from beedex.index.view import View

FINGERPRINT = "a" * 64
COUNT = 40


def draw_map(count=COUNT, *, seed=0):
    generator = np.random.default_rng(seed)
    ids = np.sort(generator.integers(-(2**63), 2**63, count))
    return GalleryMap(
        method="t-sne", scale=12.5, ids=ids, positions=generator.uniform(-1, 1, (count, 2)).astype(np.float32)
    )


def make_entry(number, family="mason"):
    return Entry(sha256=hashlib.sha256(str(number).encode()).hexdigest(), family=family, path=f"{number}.jpg")


def make_vectors(count, *, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def vectors():
    return make_vectors(COUNT)


@pytest.fixture(scope="module")
def snapshot(vectors, tmp_path_factory):
    index_dir = tmp_path_factory.mktemp("mapped")
    entries = [make_entry(number) for number in range(COUNT)]
    publish_snapshot(index_dir, entries=entries, vectors=vectors, fingerprint=FINGERPRINT)
    return load_snapshot(index_dir)


def place_by_force(drawn, known_ids, vectors, query):
    """The rule, written out: the 10 nearest, each with the inverse of half its squared distance."""
    cosines = vectors @ query
    nearest = np.argsort(-cosines)[:10]
    weights = 1 / (((vectors[nearest] - query) ** 2).sum(axis=1) / 2)
    rows = np.searchsorted(drawn.ids, known_ids[nearest])
    return (weights[:, np.newaxis] * drawn.positions[rows]).sum(axis=0) / weights.sum()


def test_a_map_comes_back_from_its_file_as_it_was(tmp_path):
    drawn = draw_map()
    (tmp_path / "map.npy").write_bytes(encode_map(drawn))

    read = decode_map(tmp_path / "map.npy", method="t-sne", scale=12.5)

    assert (read.method, read.scale, len(read)) == ("t-sne", 12.5, COUNT)
    np.testing.assert_array_equal(read.ids, drawn.ids)
    np.testing.assert_array_equal(read.positions, drawn.positions)


def write_zip(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no array"),
        lambda path: path.write_bytes(encode_map(draw_map())[:-5]),
        lambda path: np.save(path, np.zeros((3, 2), np.float32)),
        write_zip,
        lambda path: path.write_bytes(encode_map(draw_map(1)).replace(b"(1,)", b"()  ")),
        Path.mkdir,
    ],
    ids=["empty", "text", "cut", "floats", "zip", "scalar", "directory"],
)
def test_a_file_that_is_no_map_is_refused(tmp_path, write):
    path = tmp_path / "map.npy"
    write(path)

    with pytest.raises(SnapshotError, match=r"map\.npy (is no map|can't be read as a map)"):
        decode_map(path, method="pca", scale=1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01, -2])
def test_a_position_that_is_not_within_the_square_is_refused(tmp_path, value):
    drawn = draw_map()
    drawn.positions[7, 1] = value
    (tmp_path / "map.npy").write_bytes(encode_map(drawn))

    with pytest.raises(SnapshotError, match="outside of"):
        decode_map(tmp_path / "map.npy", method="pca", scale=1.0)


def test_every_entry_of_a_snapshot_has_a_position(snapshot):
    assert snapshot.map is not None
    np.testing.assert_array_equal(snapshot.map.ids, snapshot.entries.ids)
    assert snapshot.map.positions.shape == (COUNT, 2)
    assert snapshot.map.positions.dtype == np.float32
    assert np.abs(snapshot.map.positions).max() == pytest.approx(0.9)


def test_a_query_falls_where_its_nearest_entries_lie_by_the_inverse_of_half_the_squared_distance(snapshot, vectors):
    known = np.array([make_entry(number).id64 for number in range(COUNT)])

    for query in make_vectors(20, seed=1):
        place = View(snapshot).place(query)

        assert place is not None
        np.testing.assert_allclose(place, place_by_force(snapshot.map, known, vectors, query), atol=1e-5)


def test_an_indexed_photo_falls_on_itself(snapshot, vectors):
    view = View(snapshot)
    for number in range(COUNT):
        rows, is_known = snapshot.map.find(np.array([make_entry(number).id64]))
        assert is_known.all()
        assert view.place(vectors[number]) == tuple(snapshot.map.positions[rows[0]].tolist())


def test_of_several_that_are_the_same_a_query_falls_in_the_middle():
    drawn = GalleryMap(
        method="pca", scale=1.0, ids=np.array([1, 2, 3]), positions=np.array([[0, 0], [1, 1], [-1, 0]], np.float32)
    )

    place = drawn.place(np.array([1, 2, 3]), np.array([1.0, 1 - SAME_WITHIN / 2, 0.9], np.float32))

    assert place == (0.5, 0.5)


def test_entries_that_are_not_on_the_map_do_not_count():
    drawn = draw_map()
    near, strange = drawn.ids[5], drawn.ids[5] + 1

    with_stranger = drawn.place(np.array([strange, near, NO_ID]), np.array([1.0, 0.5, -np.inf], np.float32))

    assert with_stranger == tuple(drawn.positions[5].tolist())
    assert drawn.place(np.array([strange, NO_ID]), np.array([1.0, -np.inf], np.float32)) is None
    assert drawn.place(np.empty(0, np.int64), np.empty(0, np.float32)) is None


def test_of_an_empty_map_nothing_has_a_place():
    empty = GalleryMap(method="pca", scale=1.0, ids=np.empty(0, np.int64), positions=np.empty((0, 2), np.float32))

    assert empty.place(np.array([1]), np.array([1.0], np.float32)) is None
    assert empty.place_each(np.array([[1]]), np.array([[1.0]], np.float32))[1].tolist() == [False]


@pytest.mark.parametrize("similarity", [-1.0, 0.0, 1.002])
def test_any_similarity_gives_a_place_within_the_square(similarity):
    drawn = draw_map()

    place = drawn.place(drawn.ids[:10], np.full(10, similarity, np.float32))

    assert place is not None
    np.testing.assert_allclose(place, drawn.positions[:10].mean(axis=0), atol=1e-6)


def change(number, vector, *, is_gone=False):
    entry = make_entry(number, family="honey")
    if is_gone:
        return Change(sequence=number, sha256=entry.sha256, entry=None)
    return Change(sequence=number, sha256=entry.sha256, entry=entry, vector=vector, fingerprint=FINGERPRINT)


def test_a_view_shows_what_changes_left_and_brought(snapshot, vectors):
    newcomer = make_vectors(1, seed=7)[0]
    changes = [change(3, None, is_gone=True), change(4, vectors[4]), change(COUNT, newcomer)]
    view = View(snapshot, changes)

    mapped = view.map_positions()

    assert mapped is not None
    ids, positions = mapped
    place = dict(zip(ids.tolist(), map(tuple, positions.tolist()), strict=True))
    rows, _ = snapshot.map.find(ids)
    np.testing.assert_array_equal(ids, view.list_ids())
    assert make_entry(3).id64 not in place
    assert place[make_entry(4).id64] == tuple(snapshot.map.positions[rows[ids == make_entry(4).id64][0]].tolist())
    assert place[make_entry(COUNT).id64] == view.place(newcomer)
    unchanged = ids[~np.isin(ids, [make_entry(number).id64 for number in (3, 4, COUNT)])]
    assert len(unchanged) == COUNT - 2
    own = dict(zip(snapshot.map.ids.tolist(), map(tuple, snapshot.map.positions.tolist()), strict=True))
    assert all(place[id64] == own[id64] for id64 in unchanged.tolist())


def test_without_a_map_nothing_has_a_place(tiny_index_copy, make_older):
    make_older(tiny_index_copy, 1, 2)
    view = View(load_snapshot(tiny_index_copy))

    assert view.place(np.eye(1, 32, dtype=np.float32)[0]) is None
    assert view.map_positions() is None


def test_the_next_build_gives_an_older_index_a_map_and_the_one_after_publishes_nothing(
    tiny_gallery, tiny_bundle, tiny_index, tiny_index_copy, make_older
):
    make_older(tiny_index_copy, 1, 2)

    first = build_index(tiny_gallery, tiny_bundle, tiny_index_copy)
    second = build_index(tiny_gallery, tiny_bundle, tiny_index_copy)

    assert (first.snapshot, first.published, first.embedded) == (2, True, 0)
    assert (second.snapshot, second.published) == (2, False)
    drawn, expected = load_snapshot(tiny_index_copy).map, load_snapshot(tiny_index).map
    assert drawn is not None
    assert expected is not None
    assert encode_map(drawn) == encode_map(expected)


LOADING = """
import sys
from pathlib import Path
from beedex.index.searcher import Searcher

with Searcher.open(Path(sys.argv[1])) as searcher:
    view = searcher.view
    print(view.place(view.vector(f"{int(view.snapshot.map.ids[0]) % 2**64:016x}")) is not None)
print(sorted({"openTSNE", "sklearn", "scipy", "threadpoolctl", "beedex.index.mapping"} & set(sys.modules)))
"""


def test_reading_a_map_and_placing_loads_no_library_that_draws(tiny_index):
    done = subprocess.run([sys.executable, "-c", LOADING, tiny_index], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n[]\n"
