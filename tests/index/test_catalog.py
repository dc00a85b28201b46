"""The catalog on a real disk: what it keeps, through kills and damage."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from beedex.index.catalog import Catalog, FileStamp, HashedFile, SkippedPhoto
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError

DIMENSION = 16
ONE, OTHER = "1" * 64, "2" * 64


def make_sha256s(count):
    return [hashlib.sha256(bytes([number])).hexdigest() for number in range(count)]


def make_vectors(count, *, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_entries(count):
    return [
        Entry(sha256=sha256, family="mason", path=f"mason/{number}.jpg", group=None if number % 2 else "g", credit="ä")
        for number, sha256 in enumerate(make_sha256s(count))
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.mark.parametrize("count", [1, 10, 200])
def test_embeddings_come_back_bit_for_bit_in_the_order_asked_for(path, count):
    sha256s, vectors = make_sha256s(count), make_vectors(count)
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, sha256s, vectors)

    order = np.random.default_rng(1).permutation(count)
    with Catalog(path) as catalog:
        read = catalog.read_embeddings(ONE, [sha256s[i] for i in order], DIMENSION)

    np.testing.assert_array_equal(read, vectors[order])


def test_more_photos_than_a_statement_takes_parameters_are_read(path):
    sha256s = [hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(2000)]
    vectors = make_vectors(2000)
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, sha256s, vectors)

        np.testing.assert_array_equal(catalog.read_embeddings(ONE, sha256s, DIMENSION), vectors)


def test_each_embedder_has_its_own_embeddings(path):
    sha256s = make_sha256s(5)
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, sha256s, make_vectors(5, seed=1))
        catalog.add_embeddings(OTHER, sha256s[:2], make_vectors(2, seed=2))

        assert catalog.list_embedded(ONE) == set(sha256s)
        assert catalog.list_embedded(OTHER) == set(sha256s[:2])
        assert catalog.count_embeddings() == {ONE: 5, OTHER: 2}
        np.testing.assert_array_equal(catalog.read_embeddings(OTHER, sha256s[:2], DIMENSION), make_vectors(2, seed=2))
        with pytest.raises(IndexDirectoryError, match="3 of 5 photos have no embedding by 222222222222"):
            catalog.read_embeddings(OTHER, sha256s, DIMENSION)


def test_hashes_are_kept_until_forgotten(path):
    file = HashedFile(FileStamp(10, 2**62, 30), "a" * 64)
    with Catalog(path) as catalog:
        catalog.remember_hashes({"mason/1.jpg": file, "ü/2.jpg": file})
        catalog.remember_hashes({"ü/2.jpg": HashedFile(FileStamp(11, 21, 31), "b" * 64)})
        catalog.forget_files(["mason/1.jpg", "never/seen.jpg"])

    with Catalog(path) as catalog:
        assert catalog.read_hashes() == {"ü/2.jpg": HashedFile(FileStamp(11, 21, 31), "b" * 64)}


def test_a_gallery_replaces_the_former_one(path):
    skipped = [SkippedPhoto(path="honey/bad.jpg", reason="DAMAGED", message="cut off")]
    with Catalog(path) as catalog:
        catalog.replace_gallery(make_entries(9), skipped)
        catalog.replace_gallery(make_entries(3), [])
        entries_then = catalog.read_entries()
        catalog.replace_gallery(make_entries(5), skipped)

    with Catalog(path) as catalog:
        assert entries_then == sorted(make_entries(3), key=lambda entry: entry.sha256)
        assert catalog.read_entries() == sorted(make_entries(5), key=lambda entry: entry.sha256)
        assert catalog.read_skipped() == skipped


def test_a_gallery_that_fails_half_way_leaves_the_former_one(path):
    entries = make_entries(3)
    with Catalog(path) as catalog:
        catalog.replace_gallery(entries[:2], [])

        with pytest.raises(IndexDirectoryError, match="UNIQUE constraint"):
            catalog.replace_gallery([entries[2], entries[2]], [])

        assert len(catalog.read_entries()) == 2


COMMIT_AND_DIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from beedex.index.catalog import Catalog

catalog = Catalog(Path(sys.argv[1]))
vectors = np.eye(16, dtype=np.float32)
catalog.add_embeddings("1" * 64, [f"{number:064x}" for number in range(16)], vectors)
with catalog._transaction():
    catalog._connection.execute("DELETE FROM embeddings")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_committed_survives_a_kill_and_what_was_not_is_undone(path):
    killed = subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, path], check=False, timeout=30)

    with Catalog(path) as catalog:
        vectors = catalog.read_embeddings(ONE, [f"{number:064x}" for number in range(16)], DIMENSION)
    assert killed.returncode == -signal.SIGKILL
    np.testing.assert_array_equal(vectors, np.eye(16, dtype=np.float32))


def test_the_file_is_in_wal_mode_with_the_schema_version(path):
    with Catalog(path):
        pass

    connection = sqlite3.connect(path)
    pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "user_version")]
    connection.close()
    assert pragmas == ["wal", 1]


def test_others_may_read_while_one_writes(path):
    with Catalog(path) as writer:
        writer.add_embeddings(ONE, make_sha256s(3), make_vectors(3))
        with Catalog(path, read_only=True) as reader, writer._transaction():
            writer._connection.execute("DELETE FROM embeddings")

            assert reader.count_embeddings() == {ONE: 3}


def test_a_reader_can_not_write(path):
    with Catalog(path):
        pass

    with Catalog(path, read_only=True) as catalog, pytest.raises(IndexDirectoryError, match="readonly database"):
        catalog.forget_files(["a"])


def test_reading_what_is_not_there_makes_nothing(path):
    with pytest.raises(IndexDirectoryError, match="can't be opened, read or written"):
        Catalog(path, read_only=True)

    assert not path.exists()


def test_another_applications_database_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE embeddings (everything TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()

    with pytest.raises(IndexDirectoryError, match="belongs to another application"):
        Catalog(path)

    assert path.read_bytes() == before


def test_another_schema_version_is_refused_with_both_numbers(path):
    with Catalog(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()

    with pytest.raises(IndexDirectoryError, match="expected schema version 1, received 7"):
        Catalog(path)


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be taken for one " * 100, b"SQLite format 3\0"]
)
def test_what_is_no_database_is_refused(path, content):
    path.write_bytes(content)

    with pytest.raises(IndexDirectoryError, match="is damaged or no catalog"):
        Catalog(path)


def test_a_truncated_file_is_refused_with_the_way_out(path):
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, make_sha256s(100), make_vectors(100))
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(IndexDirectoryError, match=r"damaged.*move it away and build again"):
        Catalog(path).read_embeddings(ONE, make_sha256s(100), DIMENSION)


def test_a_flipped_bit_is_found_or_changes_nothing_that_is_read(path):
    sha256s, vectors = make_sha256s(60), make_vectors(60)
    hashes = {f"mason/{number}.jpg": HashedFile(FileStamp(1, 2, 3), sha) for number, sha in enumerate(sha256s)}
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, sha256s, vectors)
        catalog.remember_hashes(hashes)
    whole = path.read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # most of a small file is free space
    generator = np.random.default_rng(0)
    found = 0

    for offset in generator.choice(used, 150).tolist():
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        try:
            with Catalog(path) as catalog:
                np.testing.assert_array_equal(catalog.read_embeddings(ONE, sha256s, DIMENSION), vectors)
                assert catalog.read_hashes() == hashes
        except IndexDirectoryError:
            found += 1

    assert found > 50


def test_verify_finds_a_vector_that_sqlite_takes_for_whole(path):
    with Catalog(path) as catalog:
        catalog.add_embeddings(ONE, make_sha256s(3), make_vectors(3))
        catalog.verify()
        catalog._connection.execute("UPDATE embeddings SET vector = zeroblob(64) WHERE rowid = 2")

        with pytest.raises(IndexDirectoryError, match="damaged or no catalog: the embedding of photo"):
            catalog.verify()


def test_a_missing_directory_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(IndexDirectoryError, match=r"nowhere/catalog\.sqlite can't be opened"):
        Catalog(tmp_path / "nowhere" / "catalog.sqlite")


def test_odd_characters_in_the_path_are_no_matter(tmp_path):
    odd = tmp_path / "a?b#c %20 ü.sqlite"

    with Catalog(odd) as catalog:
        catalog.forget_files([])

    assert odd.is_file()
