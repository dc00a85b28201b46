"""The pointer to the served snapshot and the numbers of all: going back, keeping few, and other processes."""

import subprocess
import sys

import numpy as np
import pytest

from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError, SnapshotError
from beedex.index.publishing import publish_snapshot
from beedex.index.snapshots import (
    activate_snapshot,
    current_version,
    list_snapshots,
    load_snapshot,
    rollback_snapshot,
)


def publish(index_dir, count=10, *, seed=0, keep=5):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return publish_snapshot(
        index_dir,
        entries=[
            Entry(sha256=f"{number:016x}" + "0" * 48, family="mason", path=f"{number}.jpg") for number in range(count)
        ],
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        fingerprint="a" * 64,
        keep=keep,
        mapping="pca",
    )


def start_python(script, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_publishing_counts_up_and_keeps_the_last_few(tmp_path):
    versions = [publish(tmp_path, seed=seed, keep=3) for seed in range(5)]

    assert versions == [1, 2, 3, 4, 5]
    assert list_snapshots(tmp_path) == (3, 4, 5)
    assert current_version(tmp_path) == 5
    assert (tmp_path / "CURRENT").read_text() == "000005\n"


def test_a_number_is_not_used_twice_after_a_rollback(tmp_path):
    for seed in range(3):
        publish(tmp_path, seed=seed)
    rollback_snapshot(tmp_path)

    assert publish(tmp_path, seed=9) == 4
    assert current_version(tmp_path) == 4


def test_rollback_goes_back_one_version_at_a_time(tmp_path):
    for seed in range(3):
        publish(tmp_path, seed=seed)

    assert rollback_snapshot(tmp_path) == 2
    assert rollback_snapshot(tmp_path) == 1
    with pytest.raises(SnapshotError, match=r"no snapshot before the current one \(1\)"):
        rollback_snapshot(tmp_path)
    assert load_snapshot(tmp_path).version == current_version(tmp_path) == 1


def test_rollback_passes_over_versions_that_are_gone(tmp_path):
    for seed in range(4):
        publish(tmp_path, seed=seed, keep=9)
    (tmp_path / "snapshots" / "000003").rename(tmp_path / "elsewhere")

    assert rollback_snapshot(tmp_path) == 2


def test_activate_chooses_any_version(tmp_path):
    for seed in range(3):
        publish(tmp_path, seed=seed)

    activate_snapshot(tmp_path, 1)

    assert load_snapshot(tmp_path).version == 1
    assert load_snapshot(tmp_path, 3).version == 3


def test_a_damaged_snapshot_is_never_activated(tmp_path):
    for seed in range(2):
        publish(tmp_path, seed=seed)
    vectors = tmp_path / "snapshots" / "000001" / "vectors.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-1])

    with pytest.raises(SnapshotError, match=r"vectors\.faiss is damaged: expected sha256"):
        activate_snapshot(tmp_path, 1)
    with pytest.raises(SnapshotError, match=r"vectors\.faiss is damaged: expected sha256"):
        rollback_snapshot(tmp_path)

    assert current_version(tmp_path) == 2


@pytest.mark.parametrize("content", ["", "seven", "-00001", "1", "0000001x", "000001\n000002"])
def test_a_damaged_pointer_is_an_error_that_lists_the_snapshots(tmp_path, content):
    publish(tmp_path)
    (tmp_path / "CURRENT").write_text(content)

    with pytest.raises(IndexDirectoryError, match=r"CURRENT is damaged.*the snapshots here are: 1"):
        load_snapshot(tmp_path)


def test_publishing_mends_a_damaged_pointer(tmp_path):
    publish(tmp_path)
    (tmp_path / "CURRENT").write_text("seven")

    assert publish(tmp_path, seed=1) == 2
    assert current_version(tmp_path) == 2


def test_an_index_without_snapshot_says_how_to_build_one(tmp_path):
    with pytest.raises(IndexDirectoryError, match=r"holds no snapshot yet.*beedex index build"):
        load_snapshot(tmp_path)
    with pytest.raises(IndexDirectoryError, match=r"is no directory.*beedex index build"):
        load_snapshot(tmp_path / "nowhere")

    assert current_version(tmp_path) is None
    assert list_snapshots(tmp_path) == ()


def test_leftovers_of_killed_processes_are_swept_and_never_listed(tmp_path):
    publish(tmp_path)
    leftover = tmp_path / "snapshots" / ".000002.4711.partial"
    leftover.mkdir()
    (leftover / "vectors.faiss").write_bytes(b"half")
    (tmp_path / ".CURRENT.abc").write_bytes(b"0000")

    assert list_snapshots(tmp_path) == (1,)
    assert publish(tmp_path, seed=1) == 2
    assert not leftover.exists()
    assert not (tmp_path / ".CURRENT.abc").exists()


def test_an_index_in_place_of_a_file_is_one_error(tmp_path):
    (tmp_path / "index").write_text("a file")

    for act in (publish, load_snapshot, rollback_snapshot, lambda path: activate_snapshot(path, 1)):
        with pytest.raises(IndexDirectoryError, match=r"can't be (read|written): (Not a directory|File exists)"):
            act(tmp_path / "index")


# Polls the index until a line comes on its standard input, and prints how often it looked and what it saw.
READER = """
import select, sys
from pathlib import Path
from beedex.index.snapshots import load_snapshot

index_dir, seen, looks = Path(sys.argv[1]), [], 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    snapshot = load_snapshot(index_dir)
    looks += 1
    if len(snapshot.vectors) != snapshot.version + 2 or len(snapshot.entries) != snapshot.version + 2:
        raise SystemExit(f"version {snapshot.version} has {len(snapshot.vectors)} vectors")
    if not seen or seen[-1] != snapshot.version:
        seen.append(snapshot.version)
print(looks, *seen)
"""


def test_a_reader_in_another_process_never_sees_a_half_state(tmp_path):
    publish(tmp_path, count=3, keep=1)
    reader, ready = start_python(READER, tmp_path)

    # Only the newest is kept, so that the reader is also caught between the pointer and the files.
    for number in range(2, 201):
        publish(tmp_path, count=number + 2, seed=number, keep=1)
    output, _ = reader.communicate("stop\n", timeout=60)

    looks, *seen = map(int, output.split())
    assert (ready, reader.returncode) == ("ready", 0)
    assert looks > len(seen) / 2
    assert len(seen) >= 3
    assert seen == sorted(seen)


HOLDER = """
import sys
from pathlib import Path
from beedex.index.versions import hold_pointer

with hold_pointer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""

ROLLBACK = """
import sys
from pathlib import Path
from beedex.index.snapshots import rollback_snapshot

print("ready", flush=True)
rollback_snapshot(Path(sys.argv[1]))
"""


def test_going_back_waits_for_a_process_that_is_publishing(tmp_path):
    publish(tmp_path)
    publish(tmp_path, seed=1)
    holder, held = start_python(HOLDER, tmp_path)
    rollback, ready = start_python(ROLLBACK, tmp_path)

    with pytest.raises(subprocess.TimeoutExpired):
        rollback.wait(0.5)
    version_while_held = current_version(tmp_path)
    holder.communicate("\n", timeout=10)
    rollback.communicate(timeout=10)

    assert (held, ready) == ("held", "ready")
    assert version_while_held == 2
    assert rollback.returncode == 0
    assert current_version(tmp_path) == 1


def test_published_files_are_readable_by_others(tmp_path):
    publish(tmp_path)

    modes = {path.name: path.stat().st_mode & 0o044 for path in tmp_path.rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o044}, modes
