"""The log of changes: what it says after any of them, and what several threads and processes see of it."""

import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from beedex.index.changes import ChangeLog, locate_photo
from beedex.index.entries import Entry

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


def put(log, number, *, family="mason", keep_photo=True, **more):
    photo = draw_photo(number) if keep_photo else None
    log.put(draw_entry(number, family), draw_vector(number), "f" * 64, photo=photo, **more)


def write_some(index_dir):
    with ChangeLog(index_dir) as log:
        for number in range(8):
            put(log, number)
        log.take_out(name_photo(2))
        put(log, 3, family="honey")
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


def test_a_directory_without_the_file_has_no_changes_and_gets_none_by_reading(tmp_path):
    with ChangeLog(tmp_path) as log:
        assert log.read() == []
        assert log.version() == ()
        assert log.list_photos() == set()
        log.check()
        log.sweep()

    assert list(tmp_path.iterdir()) == []


def test_changes_and_photos_survive_reopening(tmp_path):
    with ChangeLog(tmp_path) as log:
        put(log, 1)
        put(log, 2, keep_photo=False)
        log.take_out(name_photo(3))

        changes = log.read()
        reread = read_anew(tmp_path)

    assert [describe(change) for change in changes] == reread
    assert [change.entry for change in changes] == [draw_entry(1), draw_entry(2), None]
    np.testing.assert_array_equal(changes[0].vector, draw_vector(1))
    assert (changes[2].vector, changes[2].sha256) == (None, name_photo(3))
    assert not any(change.is_settled for change in changes)
    assert locate_photo(tmp_path, name_photo(1)).read_bytes() == draw_photo(1)
    with ChangeLog(tmp_path) as log:
        assert log.list_photos() == {name_photo(1)}


def test_the_last_change_of_a_photo_counts_alone_and_comes_last(tmp_path):
    with ChangeLog(tmp_path) as log:
        put(log, 1)
        put(log, 2)
        log.take_out(name_photo(1))
        taken_out = log.read()
        put(log, 1, family="honey")
        put_again = log.read()

    assert [(change.sha256, change.entry) for change in taken_out] == [
        (name_photo(2), draw_entry(2)),
        (name_photo(1), None),
    ]
    assert [change.entry for change in put_again] == [draw_entry(2), draw_entry(1, "honey")]
    assert len({change.sequence for change in taken_out + put_again}) == 3


def test_settled_changes_stay_with_the_gallerys_family_and_dropped_ones_go(tmp_path):
    with ChangeLog(tmp_path) as log:
        for number in range(4):
            put(log, number)
        log.take_out(name_photo(3))
        changes = log.read()

        log.settle({changes[0]: "wool", changes[3]: None}, [changes[1]])

    found = {change.sha256: (change.is_settled, change.gallery_family) for change in ChangeLog(tmp_path).read()}
    assert found == {name_photo(0): (True, "wool"), name_photo(2): (False, None), name_photo(3): (True, None)}
    # 1 is the gallery's own, and 3 is not wanted.
    assert ChangeLog(tmp_path).list_photos() == {name_photo(0), name_photo(2)}


def test_a_change_that_came_while_a_build_settled_the_former_one_stays_pending(tmp_path):
    with ChangeLog(tmp_path) as log:
        put(log, 1)
        put(log, 2)
        seen = log.read()
        put(log, 1, family="honey")
        put(log, 2, family="honey")

        log.settle({seen[0]: None}, [seen[1]])

        assert [(change.entry.family, change.is_settled) for change in log.read() if change.entry] == [
            ("honey", False),
            ("honey", False),
        ]
        assert log.list_photos() == {name_photo(1), name_photo(2)}


def test_what_the_gallery_said_at_the_last_build_is_carried_over_to_later_changes(tmp_path):
    with ChangeLog(tmp_path) as log:
        put(log, 1, gallery_family="wool")
        put(log, 1, gallery_family="what an earlier change made of it")
        log.take_out(name_photo(2), gallery_family="amber")
        log.settle({log.read()[1]: "blue"}, [])
        put(log, 2)

        assert [change.gallery_family for change in log.read()] == ["wool", "blue"]


def test_sweeping_deletes_the_photos_that_no_change_puts_in_and_what_killed_writers_left(tmp_path):
    write_some(tmp_path)
    folder = locate_photo(tmp_path, name_photo(1)).parent
    (folder / name_photo(99)).write_bytes(b"of a change that failed")
    (folder / f".{name_photo(1)}.4711.partial").write_bytes(b"half")

    with ChangeLog(tmp_path) as log:
        log.sweep()

        assert log.list_photos() == {name_photo(number) for number in (0, 1, 3, 4, 5, 6, 7)}
    assert [path.name for path in tmp_path.rglob(".*")] == []


# Does to a log what it is told on standard input, and says when it has.
OTHER_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from beedex.index.changes import ChangeLog
from beedex.index.entries import Entry

vector = np.ones(1, np.float32)
with ChangeLog(Path(sys.argv[1])) as log:
    print("ready", flush=True)
    for line in sys.stdin:
        deed, sha256 = line.split()
        if deed == "put":
            log.put(Entry(sha256=sha256, family="other", path="x"), vector, "f" * 64)
        elif deed == "take-out":
            log.take_out(sha256)
        elif deed == "settle":
            log.settle({change: None for change in log.read()}, [])
        else:
            log.read()
        print("done", flush=True)
"""


class OtherProcess:
    def __init__(self, index_dir):
        command = [sys.executable, "-c", OTHER_PROCESS, index_dir]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready\n"

    def do(self, deed, sha256="0" * 64):
        assert self.process.stdin is not None
        self.process.stdin.write(f"{deed} {sha256}\n")
        self.process.stdin.flush()
        assert self._answer() == "done\n"

    def _answer(self):
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture
def other_process(tmp_path):
    other = OtherProcess(tmp_path)
    yield other
    other.process.communicate(timeout=30)


def test_the_version_is_another_one_after_every_change_of_any_process_and_else_the_same(tmp_path, other_process):
    with ChangeLog(tmp_path) as log:
        steps = [
            lambda: other_process.do("put", name_photo(1)),
            lambda: put(log, 1),
            lambda: other_process.do("take-out", name_photo(1)),
            lambda: other_process.do("put", name_photo(2)),
            lambda: log.take_out(name_photo(2)),
            lambda: other_process.do("settle"),
            lambda: put(log, 3),
        ]
        versions = [log.version()]
        for step in steps:
            step()
            versions.append(log.version())
            log.read()
            other_process.do("read")
            assert log.version() == versions[-1]

    assert len(set(versions)) == len(steps) + 1


def test_a_file_that_takes_the_place_of_another_is_read_without_reopening(tmp_path, other_process):
    with ChangeLog(tmp_path) as log:
        put(log, 1)
        before = log.version()
        (tmp_path / "changes.sqlite").rename(tmp_path / "moved away")
        without = log.version(), log.read()
        other_process.do("put", name_photo(2))
        after = log.version()
        put(log, 3)

        assert without == ((), [])
        assert len({before, after, log.version()}) == 3
        assert {change.sha256 for change in log.read()} == {name_photo(2), name_photo(3)}


def test_first_changes_of_many_threads_and_a_process_at_once_all_stay(tmp_path, other_process):
    logs = [ChangeLog(tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=put, args=(log, number)) for number, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    other_process.do("put", name_photo(99))
    for thread in threads:
        thread.join()

    assert read_families(tmp_path).keys() == {name_photo(number) for number in (0, 1, 2, 3, 99)}
    assert len({change.sequence for change in logs[0].read()}) == 5
    for log in logs:
        log.close()


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def test_reading_and_opening_again_let_a_change_of_another_process_keep_its_lock(tmp_path):
    put(ChangeLog(tmp_path), 1)
    started = threading.Event()

    def change():
        started.set()
        put(log, 2)

    with ChangeLog(tmp_path) as log:
        command = [sys.executable, "-c", HOLDER, tmp_path / "changes.sqlite"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            writer = threading.Thread(target=change)
            writer.start()
            started.wait()

            # Neither waits for the writer, which waits for the other process.
            assert [change.sha256 for change in log.read()] == [name_photo(1)]
            assert read_families(tmp_path).keys() == {name_photo(1)}
            assert writer.is_alive()
            holder.communicate("\n", timeout=30)
        writer.join()

        assert {change.sha256 for change in log.read()} == {name_photo(1), name_photo(2)}


IMPATIENT_WRITER = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
"""


def test_another_log_of_the_same_process_does_not_free_the_lock_of_a_change(tmp_path):
    """POSIX frees a process's locks on a file when the process closes any descriptor of it."""
    write_some(tmp_path)
    with ChangeLog(tmp_path) as log, log._file.write() as connection:
        connection.execute("DELETE FROM changes")
        assert len(read_families(tmp_path)) == 8
        second = subprocess.run(
            [sys.executable, "-c", IMPATIENT_WRITER, tmp_path / "changes.sqlite"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert "database is locked" in second.stderr
