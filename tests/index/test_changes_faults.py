"""The log of changes on full, read-only and faulty disks, and when its writers are killed."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from beedex.index.changes import ChangeLog, locate_photo
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError

# Wide enough that a row doesn't fit into one page of the file.
DIMENSION = 1500


def draw_photo(number):
    return b"photo %d" % number


def name_photo(number):
    return hashlib.sha256(draw_photo(number)).hexdigest()


def draw_vector(seed):
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def draw_entry(number, family="mason"):
    return Entry(
        sha256=name_photo(number),
        family=family,
        path=f"Größe {number}.jpg",
        group=None if number % 2 else f"nest {number}",
        species="Osmia bicornis",
        source="https://example.org",
        license="CC BY",
        credit='Ä, "B."',
    )


def put(log, number, family="mason"):
    log.put(draw_entry(number, family), draw_vector(number), "f" * 64, photo=draw_photo(number))


def write_some(index_dir):
    with ChangeLog(index_dir) as log:
        for number in range(8):
            put(log, number)
        log.take_out(name_photo(2))
        put(log, 3, "honey")
        settled = log.read()[:2]
        log.settle({settled[0]: "wool", settled[1]: None}, [])


def describe(change):
    """A change as values that compare."""
    vector = None if change.vector is None else change.vector.tobytes()
    return (
        change.sequence,
        change.sha256,
        change.entry,
        change.fingerprint,
        vector,
        change.is_settled,
        change.gallery_family,
    )


def read_anew(index_dir):
    with ChangeLog(index_dir) as log:
        return [describe(change) for change in log.read()]


def read_families(index_dir):
    """What the log says of each photo: its family, or None if it is taken out."""
    with ChangeLog(index_dir) as log:
        return {change.sha256: change.entry.family if change.entry else None for change in log.read()}


# Makes changes without end; says what it is about to do, and that it is done once it has been acknowledged.
WRITER = """
import hashlib, itertools, sys
from pathlib import Path
import numpy as np
from beedex.index.changes import ChangeLog
from beedex.index.entries import Entry

generator = np.random.default_rng(int(sys.argv[2]))
vector = np.full(1500, 1500**-0.5, np.float32)
with ChangeLog(Path(sys.argv[1])) as log:
    for number in itertools.count():
        photo = b"photo %d" % generator.integers(6)
        sha256, family = hashlib.sha256(photo).hexdigest(), f"{sys.argv[2]}-{number}"
        if generator.random() < 0.3:
            print(sha256, None, flush=True)
            log.take_out(sha256)
        else:
            print(sha256, family, flush=True)
            log.put(Entry(sha256=sha256, family=family, path="x"), vector, "f" * 64, photo=photo)
        print("done", flush=True)
"""


def test_a_writer_killed_at_any_instant_leaves_what_it_acknowledged_and_at_most_one_change_more(tmp_path):
    generator = np.random.default_rng(0)
    expected: dict[str, str | None] = {}
    in_flight_found = 0

    for trial in range(8):
        command = [sys.executable, "-c", WRITER, tmp_path, str(trial)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(2 * int(generator.integers(1, 12)))]
            time.sleep(generator.uniform(0, 0.01))  # the instant of the kill
            writer.kill()
            lines += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        deeds = [line.split() for line in lines if line != "done\n"]
        done = lines.count("done\n")
        for sha256, family in deeds[:done]:
            expected[sha256] = None if family == "None" else family
        found = read_families(tmp_path)
        if found != expected:
            ((sha256, family),) = deeds[done:]
            expected[sha256] = None if family == "None" else family
            in_flight_found += 1
        assert found == expected
        with ChangeLog(tmp_path) as log:
            log.check()
            assert log.list_photos() >= {sha256 for sha256, family in found.items() if family}
            log.sweep()
            assert log.list_photos() == {sha256 for sha256, family in found.items() if family}

    print(f"{in_flight_found} of 8 changes in flight were there")


def test_a_flipped_bit_is_an_error_or_changes_nothing(tmp_path):
    write_some(tmp_path)
    path = tmp_path / "changes.sqlite"
    whole, expected = path.read_bytes(), read_anew(tmp_path)
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    generator = np.random.default_rng(seed)
    # Vectors fill most of the file; what SQLite and the columns need stands at the pages' ends.
    structure = np.flatnonzero((np.arange(len(whole)) % 4096 < 64) | (np.arange(len(whole)) < 4096))
    offsets = np.concatenate([generator.integers(0, len(whole), 150), generator.choice(structure, 250)])
    refused = 0

    for offset in offsets.tolist():
        bit = int(generator.integers(0, 8))
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            found = read_anew(tmp_path)
        except IndexDirectoryError:
            refused += 1
        else:
            assert found == expected, f"bit {bit} at {offset}"

    assert 100 < refused < len(offsets)


def test_no_bit_of_the_number_of_a_pages_rows_can_hide_any_of_them(tmp_path):
    """SQLite reads the fewer rows without a word; only a check of the page tells."""
    write_some(tmp_path)
    path = tmp_path / "changes.sqlite"
    whole, expected = path.read_bytes(), read_anew(tmp_path)
    refused = 0

    for page, bit in np.ndindex(len(whole) // 4096, 16):
        damaged = bytearray(whole)
        # Behind the file's own 100 bytes on the first page.
        damaged[page * 4096 + (100 if page == 0 else 0) + 3 + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert read_anew(tmp_path) == expected
        except IndexDirectoryError:
            refused += 1

    assert refused > 16


def test_a_truncated_file_is_an_error(tmp_path):
    write_some(tmp_path)
    path = tmp_path / "changes.sqlite"
    whole = path.read_bytes()
    lengths = [0, 1, 15, 16, 99, 100, 512, *range(4096, len(whole), 4096), len(whole) - 1]

    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(IndexDirectoryError, match=r"changes\.sqlite is damaged"):
            read_anew(tmp_path)
        with ChangeLog(tmp_path) as log, pytest.raises(IndexDirectoryError, match=r"changes\.sqlite is damaged"):
            put(log, 1)
        assert len(path.read_bytes()) == length


@pytest.mark.parametrize("content", [b"text " * 1000, b"\0" * 8192])
def test_a_file_of_something_else_is_an_error(tmp_path, content):
    (tmp_path / "changes.sqlite").write_bytes(content)

    with pytest.raises(IndexDirectoryError, match=r"changes\.sqlite is damaged.*move it away"):
        read_anew(tmp_path)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA application_id = 7", "belongs to another application"),
        ("PRAGMA user_version = 9", "another version of beedex, expected schema version 1, received 9"),
        ("DROP TABLE changes", "no such table"),
    ],
)
def test_a_database_of_another_kind_is_an_error(tmp_path, statement, message):
    write_some(tmp_path)
    with ChangeLog(tmp_path) as log, log._file.write() as connection:
        connection.execute(statement)

    with pytest.raises(IndexDirectoryError, match=message):
        read_anew(tmp_path)


def test_a_directory_in_place_of_the_file_is_an_error(tmp_path):
    (tmp_path / "changes.sqlite").mkdir()

    with pytest.raises(IndexDirectoryError, match="can't be opened"):
        read_anew(tmp_path)


def test_checking_finds_a_damaged_photo(tmp_path):
    write_some(tmp_path)
    photo = locate_photo(tmp_path, name_photo(1))
    photo.write_bytes(b"damaged")

    with (
        ChangeLog(tmp_path) as log,
        pytest.raises(IndexDirectoryError, match=f"{name_photo(1)} is damaged: its sha256"),
    ):
        log.check()
    photo.unlink()
    photo.mkdir()
    with ChangeLog(tmp_path) as log, pytest.raises(IndexDirectoryError, match="can't be read"):
        log.check()


@pytest.mark.parametrize("limit_bytes", [0, 1000, 5000, 20_000, 40_000])
def test_a_full_disk_is_one_error_and_what_was_acknowledged_stays(tmp_path, limit_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with ChangeLog(tmp_path) as log:
            message = ""
            for number in range(20):
                try:
                    put(log, number)
                except IndexDirectoryError as error:
                    message = str(error)
                    break
                acknowledged[name_photo(number)] = "mason"
            # A disk that is full can be read.
            assert {change.sha256 for change in log.read()} == acknowledged.keys()
            assert read_families(tmp_path) == acknowledged
            with pytest.raises(IndexDirectoryError, match="can't be"):
                put(log, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "can't be" in message
    assert len(acknowledged) < 20
    put(ChangeLog(tmp_path), 21)
    assert read_families(tmp_path) == acknowledged | {name_photo(21): "mason"}


# As a user to whom nothing here belongs: root may write to every directory.
STRANGER = """
import os, sys
from pathlib import Path
import numpy as np
from beedex.index.changes import ChangeLog
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError

if os.getuid() == 0:
    os.setuid(65534)
for directory in sys.argv[1:]:
    with ChangeLog(Path(directory)) as log:
        print(len(log.read()), len(log.version()), len(log.list_photos()))
        log.check()
        for deed in (
            lambda: log.put(Entry(sha256="a" * 64, family="b", path="c"), np.ones(1, np.float32), "f", photo=b"d"),
            lambda: log.take_out("a" * 64),
            lambda: log.settle({}, log.read()),
        ):
            try:
                deed()
            except IndexDirectoryError as error:
                print(error)
"""


def test_a_read_only_directory_can_be_read_and_every_change_is_one_error():
    # Not pytest's own directory, into which no other user may look.
    with tempfile.TemporaryDirectory() as name:
        home, with_changes, without = Path(name), Path(name, "with"), Path(name, "without")
        with_changes.mkdir()
        without.mkdir()
        write_some(with_changes)
        for path in (*home.rglob("*"), home):
            path.chmod(0o555 if path.is_dir() else 0o444)

        done = subprocess.run(
            [sys.executable, "-c", STRANGER, with_changes, without],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

        for path in (*home.rglob("*"), home):
            path.chmod(0o755)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert (lines[0], lines[4]) == ("8 2 7", "0 0 0")
        assert len(lines) == 8
        assert all("can't be" in line for line in lines[1:4] + lines[5:8])
        assert len(read_families(with_changes)) == 8
        assert list(without.iterdir()) == []
