"""Snapshots on a real disk: publishing, loading, going back, and every kind of damage."""

import hashlib
import json
import resource

import numpy as np
import pytest

from beedex.index.entries import Entry, digest_entries, parse_entry_id
from beedex.index.errors import FingerprintMismatchError, IndexDirectoryError, SnapshotError
from beedex.index.manifest import parse_manifest, render_manifest
from beedex.index.publishing import publish_snapshot
from beedex.index.snapshots import (
    current_version,
    list_snapshots,
    load_manifest,
    load_snapshot,
)
from beedex.index.vectors import ExactStore, IvfStore, SearchSettings

FINGERPRINT = "a" * 64
OTHER_FINGERPRINT = "b" * 64
FAMILIES = ("mason", "honey", "mining")


def make_entries(count, *, seed=0):
    return [
        Entry(
            sha256=hashlib.sha256(f"{seed} {number}".encode()).hexdigest(),
            family=FAMILIES[number % 3],
            path=f"{FAMILIES[number % 3]}/Ünicode {number}.jpg",
            group=f"g{number}" if number % 2 else None,
            species="Osmia bicornis",
            source="https://example.org",
            license="CC0",
            credit='A. "B" C',
        )
        for number in range(count)
    ]


def make_vectors(count, *, seed=0, dimension=8):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def publish(index_dir, count=10, *, seed=0, fingerprint=FINGERPRINT, **more):
    return publish_snapshot(
        index_dir,
        entries=make_entries(count, seed=seed),
        vectors=make_vectors(count, seed=seed),
        fingerprint=fingerprint,
        **more,
    )


def read_tree(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_snapshot_gives_back_what_was_published(tmp_path):
    entries, vectors = make_entries(10), make_vectors(10)

    version = publish_snapshot(tmp_path / "index", entries=entries, vectors=vectors, fingerprint=FINGERPRINT)
    snapshot = load_snapshot(tmp_path / "index")

    assert version == snapshot.version == 1
    assert [snapshot.entry(entry.entry_id) for entry in entries] == entries
    for entry, vector in zip(entries, vectors, strict=True):
        np.testing.assert_array_equal(snapshot.vector(entry.entry_id), vector)
    assert snapshot.manifest.fingerprint == FINGERPRINT
    assert snapshot.manifest.families == {"honey": 3, "mason": 4, "mining": 3}
    assert snapshot.manifest.gallery_digest == digest_entries(entries)
    assert (snapshot.manifest.entries, snapshot.manifest.dimension) == (10, 8)
    assert (snapshot.manifest.index_kind, snapshot.manifest.metric) == ("flat", "cosine")


def test_the_same_entries_in_any_order_give_the_same_bytes(tmp_path):
    entries, vectors = make_entries(50), make_vectors(50)
    order = np.random.default_rng(1).permutation(50)

    publish_snapshot(tmp_path / "a", entries=entries, vectors=vectors, fingerprint=FINGERPRINT)
    publish_snapshot(
        tmp_path / "b", entries=[entries[i] for i in order], vectors=vectors[order], fingerprint=FINGERPRINT
    )

    for name in ("vectors.faiss", "entries.sqlite", "map.npy"):
        one, other = (tmp_path / side / "snapshots" / "000001" / name for side in "ab")
        assert one.read_bytes() == other.read_bytes()
    assert load_manifest(tmp_path / "a", 1).gallery_digest == load_manifest(tmp_path / "b", 1).gallery_digest


def test_a_snapshot_is_searched_as_it_was_wished_with_what_was_tuned(tmp_path):
    entries, vectors = make_entries(300), make_vectors(300)
    wish = SearchSettings(kind="ivf", recall=0.9, memory_mb=1)

    publish_snapshot(tmp_path, entries=entries, vectors=vectors, fingerprint=FINGERPRINT, search=wish)
    snapshot = load_snapshot(tmp_path)

    assert snapshot.manifest.search_settings == wish
    assert isinstance(snapshot.vectors, IvfStore)
    assert snapshot.manifest.search_plan is not None
    assert snapshot.vectors.efforts == snapshot.manifest.search_plan.efforts
    assert snapshot.vectors.lists == snapshot.manifest.search_plan.lists == 9
    np.testing.assert_array_equal(snapshot.vector(entries[7].entry_id), vectors[7])


def test_the_same_entries_in_any_order_give_the_same_bytes_in_lists_too(tmp_path):
    entries, vectors = make_entries(400), make_vectors(400)
    order = np.random.default_rng(1).permutation(400)
    wish = SearchSettings(kind="ivf")

    for side, rows in (("a", np.arange(400)), ("b", order)):
        publish_snapshot(
            tmp_path / side,
            entries=[entries[row] for row in rows],
            vectors=vectors[rows],
            fingerprint=FINGERPRINT,
            search=wish,
        )

    one, other = (tmp_path / side / "snapshots" / "000001" / "vectors.faiss" for side in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert load_manifest(tmp_path / "a", 1).search_plan == load_manifest(tmp_path / "b", 1).search_plan


def test_a_manifest_from_before_there_was_a_choice_of_search_is_read_as_exact(tmp_path, make_older):
    publish(tmp_path)
    make_older(tmp_path, 1, 1)

    snapshot = load_snapshot(tmp_path)

    assert isinstance(snapshot.vectors, ExactStore)
    assert (snapshot.manifest.schema_version, snapshot.manifest.search_plan) == (1, None)


@pytest.mark.parametrize("schema_version", [1, 2])
def test_a_snapshot_from_before_there_were_maps_is_whole_and_has_none(tmp_path, make_older, schema_version):
    entries, vectors = make_entries(10), make_vectors(10)
    publish(tmp_path)
    make_older(tmp_path, 1, schema_version)

    snapshot = load_snapshot(tmp_path)

    assert snapshot.map is None
    assert snapshot.manifest.map is None
    np.testing.assert_array_equal(snapshot.vector(entries[7].entry_id), vectors[7])


def test_the_manifest_names_the_checksum_of_the_other_files(tmp_path):
    publish(tmp_path)

    directory = tmp_path / "snapshots" / "000001"
    manifest = json.loads((directory / "manifest.json").read_bytes())
    assert {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in manifest["files"]} == (
        manifest["files"]
    )
    assert set(read_tree(directory)) == {"manifest.json", *manifest["files"]}


def test_an_unknown_version_is_refused_with_those_that_are_there(tmp_path):
    for seed in range(2):
        publish(tmp_path, seed=seed)

    with pytest.raises(SnapshotError, match=r"snapshot 7 .* missing or half-copied.*the snapshots here are: 1, 2"):
        load_snapshot(tmp_path, 7)


def test_another_embedders_snapshot_is_refused_with_both_fingerprints(tmp_path):
    publish(tmp_path)

    with pytest.raises(FingerprintMismatchError) as caught:
        load_snapshot(tmp_path, expected_fingerprint=OTHER_FINGERPRINT)

    assert FINGERPRINT in str(caught.value)
    assert OTHER_FINGERPRINT in str(caught.value)
    assert (caught.value.expected, caught.value.received) == (OTHER_FINGERPRINT, FINGERPRINT)


def test_the_right_embedders_snapshot_is_loaded(tmp_path):
    publish(tmp_path)

    assert load_snapshot(tmp_path, expected_fingerprint=FINGERPRINT).version == 1


@pytest.mark.parametrize("name", ["manifest.json", "vectors.faiss", "entries.sqlite", "map.npy"])
def test_any_flipped_bit_is_found(tmp_path, name):
    publish(tmp_path)
    path = tmp_path / "snapshots" / "000001" / name
    whole = path.read_bytes()
    generator = np.random.default_rng(len(whole))

    for offset in [0, len(whole) - 1, *generator.integers(0, len(whole), 80).tolist()]:
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(SnapshotError):
            load_snapshot(tmp_path)

    path.write_bytes(whole)
    assert load_snapshot(tmp_path).version == 1


@pytest.mark.parametrize("name", ["manifest.json", "vectors.faiss", "entries.sqlite", "map.npy"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_half_copied_file_is_found(tmp_path, name, share):
    publish(tmp_path)
    path = tmp_path / "snapshots" / "000001" / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    with pytest.raises(SnapshotError, match=f"{name} is damaged"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "vectors.faiss", "entries.sqlite", "map.npy"])
def test_a_missing_file_is_found(tmp_path, name):
    publish(tmp_path)
    (tmp_path / "snapshots" / "000001" / name).unlink()

    with pytest.raises(SnapshotError, match="missing or half-copied"):
        load_snapshot(tmp_path)


def test_a_directory_under_another_number_is_refused(tmp_path):
    publish(tmp_path)
    (tmp_path / "snapshots" / "000001").rename(tmp_path / "snapshots" / "000002")

    with pytest.raises(SnapshotError, match="expected version 2, received 1"):
        load_snapshot(tmp_path, 2)


@pytest.mark.parametrize("name", ["vectors.faiss", "map.npy"])
def test_files_of_two_snapshots_with_rewritten_checksums_are_refused(tmp_path, name):
    publish(tmp_path, seed=0)
    publish(tmp_path, seed=1)
    first, second = (tmp_path / "snapshots" / f"00000{number}" for number in (1, 2))
    (second / name).write_bytes((first / name).read_bytes())
    manifest = parse_manifest((second / "manifest.json").read_bytes(), name="second")
    files = {**manifest.files, name: load_manifest(tmp_path, 1).files[name]}
    (second / "manifest.json").write_bytes(render_manifest(manifest.model_copy(update={"files": files})))

    with pytest.raises(SnapshotError, match="contradicts itself"):
        load_snapshot(tmp_path)


def test_a_newer_manifest_asks_for_a_newer_beedex(tmp_path):
    publish(tmp_path)
    path = tmp_path / "snapshots" / "000001" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 4, "shards": 4}))

    with pytest.raises(SnapshotError, match="newer beedex, expected schema version 3, received 4"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b"{", b"[" * 100_000])
def test_a_manifest_that_is_something_else_is_refused(tmp_path, content):
    publish(tmp_path)
    (tmp_path / "snapshots" / "000001" / "manifest.json").write_bytes(content)

    with pytest.raises(SnapshotError, match=r"manifest\.json is damaged"):
        load_snapshot(tmp_path)


def test_a_loaded_snapshot_outlives_its_files(tmp_path):
    entries = make_entries(10)
    publish(tmp_path)
    snapshot = load_snapshot(tmp_path)

    publish(tmp_path, seed=1, keep=1)

    assert list_snapshots(tmp_path) == (2,)
    assert snapshot.entry(entries[3].entry_id) == entries[3]
    np.testing.assert_array_equal(snapshot.vector(entries[3].entry_id), make_vectors(10)[3])


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"family": ["mason"]},
        {"family": ["mason", "mining", "unknown"], "group": ["g1", "g5", "g8"]},
        {"species": ["Osmia bicornis"], "license": ["CC0"], "path": ["mason/Ünicode 3.jpg"]},
        {"credit": []},
    ],
)
def test_entries_are_selected_by_what_is_known_of_them(tmp_path, wanted):
    entries = make_entries(30)
    publish(tmp_path, count=30)

    selected = load_snapshot(tmp_path).entries.select(**wanted)

    expected = [e.id64 for e in entries if all(getattr(e, field) in values for field, values in wanted.items())]
    np.testing.assert_array_equal(selected, sorted(expected))
    assert selected.dtype == np.int64


def test_a_search_by_metadata_finds_the_nearest_of_those_selected(tmp_path):
    entries, vectors = make_entries(200), make_vectors(200)
    publish_snapshot(
        tmp_path, entries=entries, vectors=vectors, fingerprint=FINGERPRINT, search=SearchSettings(kind="ivf")
    )
    snapshot = load_snapshot(tmp_path)

    allowed = snapshot.entries.select(family=["honey"], group=[f"g{number}" for number in range(100)])
    hits = snapshot.vectors.search(vectors[:1], 5, allowed=allowed)

    rows = [row for row, entry in enumerate(entries) if entry.family == "honey" and entry.group and row < 100]
    nearest = sorted(rows, key=lambda row: -float(vectors[row] @ vectors[0]))[:5]
    assert hits.ids[0].tolist() == [entries[row].id64 for row in nearest]


def test_selecting_by_what_no_entry_has_is_refused(tmp_path):
    publish(tmp_path)

    with pytest.raises(ValueError, match="no field 'colour' to select by, expected family, path, group, species"):
        load_snapshot(tmp_path).entries.select(colour=["red"])


def test_unknown_entries_are_named(tmp_path):
    publish(tmp_path)
    snapshot = load_snapshot(tmp_path)

    with pytest.raises(LookupError, match="no entry has id 00000000000000ff, expected one of the 10 entries"):
        snapshot.entry("00000000000000ff")
    with pytest.raises(ValueError, match="an entry id is 16 lower-case hex digits, received 'bee'"):
        snapshot.vector("bee")


@pytest.mark.parametrize("entry_id", ["", "F" * 16, "0" * 15, "0x" + "0" * 14, "0" * 17, "+" + "0" * 15])
def test_what_is_no_entry_id_is_refused(entry_id):
    with pytest.raises(ValueError, match="an entry id is 16 lower-case hex digits"):
        parse_entry_id(entry_id)


def test_nothing_to_publish_is_refused(tmp_path):
    with pytest.raises(ValueError, match="received 0 entries"):
        publish(tmp_path / "index", count=0)
    with pytest.raises(ValueError, match="keep=0"):
        publish(tmp_path / "index", keep=0)

    assert not (tmp_path / "index").exists()


def test_two_photos_under_one_id_are_refused(tmp_path):
    entries = make_entries(2)
    twin = Entry(sha256=entries[0].sha256[:16] + "0" * 48, family="honey", path="twin.jpg")

    with pytest.raises(ValueError, match="would be stored twice"):
        publish_snapshot(tmp_path, entries=[*entries, twin], vectors=make_vectors(3), fingerprint=FINGERPRINT)

    assert current_version(tmp_path) is None


def test_vectors_that_are_not_one_unit_vector_an_entry_are_refused(tmp_path):
    for vectors in (make_vectors(9), make_vectors(10) * np.float32(2), make_vectors(10).reshape(-1)):
        with pytest.raises(ValueError, match=r"one vector|norm"):
            publish_snapshot(tmp_path, entries=make_entries(10), vectors=vectors, fingerprint=FINGERPRINT)


def test_a_full_disk_leaves_the_served_snapshot(tmp_path):
    publish(tmp_path)
    before = read_tree(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(IndexDirectoryError, match="can't be written: File too large"):
            publish(tmp_path, count=3000, seed=1, mapping="pca")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert read_tree(tmp_path) == before
    assert load_snapshot(tmp_path).version == 1
