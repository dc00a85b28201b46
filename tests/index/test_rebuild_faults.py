"""Builds that are disturbed: by another build, a full disk, damage, and SIGKILL at many instants."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beedex.index.catalog import Catalog
from beedex.index.errors import IndexBusyError, IndexDirectoryError
from beedex.index.rebuild import build_index
from beedex.index.snapshots import current_version, load_snapshot

PHOTO_COUNT = 18
DATA_FILES = ("vectors.faiss", "entries.sqlite")


def read_data(index_dir):
    """The bytes of the current snapshot's data files."""
    directory = index_dir / "snapshots" / f"{current_version(index_dir):06}"
    return {name: (directory / name).read_bytes() for name in DATA_FILES}


def read_map(index_dir):
    """The bytes of the current snapshot's map, which goes on from that of the one before."""
    return (index_dir / "snapshots" / f"{current_version(index_dir):06}" / "map.npy").read_bytes()


def build_undisturbed(gallery, bundle, tmp_path):
    """What a first build of this gallery publishes: where every disturbed one must end."""
    build_index(gallery, bundle, tmp_path / "undisturbed")
    return read_data(tmp_path / "undisturbed")


@pytest.fixture
def index_dir(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def gallery(tiny_gallery_copy):
    return tiny_gallery_copy


LOCK_HOLDER = """
import sys
from pathlib import Path
from beedex.index.buildlock import hold_build_lock

with hold_build_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_builds_at_once_are_refused_and_a_killed_one_is_no_hindrance(tiny_gallery, tiny_bundle, index_dir):
    build_index(tiny_gallery, tiny_bundle, index_dir)
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCK_HOLDER, index_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(IndexBusyError, match=f"is being built by process {holder.pid}, expected one build at a time"):
        build_index(tiny_gallery, tiny_bundle, index_dir)
    holder.kill()
    holder.communicate()

    assert build_index(tiny_gallery, tiny_bundle, index_dir).entries == PHOTO_COUNT


def test_a_full_disk_is_one_error_and_the_next_build_goes_on(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    before = read_data(index_dir)
    for number in range(40):
        Image.new("RGB", (64, 64), (number, 6 * number, 90)).save(gallery / "blue" / f"new_{number}.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    for limit_bytes in (0, 5_000, 20_000, 50_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
        try:
            with pytest.raises(IndexDirectoryError, match="can't be"):
                build_index(gallery, tiny_bundle, index_dir)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert read_data(index_dir) == before

    assert build_index(gallery, tiny_bundle, index_dir).entries == PHOTO_COUNT + 40
    assert read_data(index_dir) == build_undisturbed(gallery, tiny_bundle, tmp_path)


def test_a_flipped_bit_in_the_catalog_never_reaches_a_snapshot(gallery, tiny_bundle, index_dir, tmp_path):
    build_index(gallery, tiny_bundle, index_dir)
    before = read_data(index_dir)
    (gallery / "blue" / "blue_000.jpg").unlink()
    expected = build_undisturbed(gallery, tiny_bundle, tmp_path)
    whole = (index_dir / "catalog.sqlite").read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # most of a small file is free space
    generator = np.random.default_rng(0)
    refused = 0

    for offset in generator.choice(used, 25).tolist():
        copy = tmp_path / "copy"
        shutil.copytree(index_dir, copy)
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << int(generator.integers(0, 8))
        (copy / "catalog.sqlite").write_bytes(damaged)
        try:
            build_index(gallery, tiny_bundle, copy)
        except IndexDirectoryError:
            refused += 1
            assert read_data(copy) == before
        else:
            assert read_data(copy) == expected
        shutil.rmtree(copy)

    assert refused > 5


@pytest.mark.parametrize("name", ["LOCK", "catalog.sqlite", "snapshots", "embedders"])
def test_something_else_in_place_of_a_part_is_one_error(tiny_gallery, tiny_bundle, index_dir, name):
    index_dir.mkdir()
    if name in {"LOCK", "catalog.sqlite"}:
        (index_dir / name).mkdir()
    else:
        (index_dir / name).write_text("a file")

    with pytest.raises(IndexDirectoryError, match="can't be"):
        build_index(tiny_gallery, tiny_bundle, index_dir)


def count_committed(index_dir):
    if not (index_dir / "catalog.sqlite").exists():
        return 0
    with Catalog(index_dir / "catalog.sqlite") as catalog:
        return sum(catalog.count_embeddings().values())


def check_continuation(tiny_gallery, tiny_bundle, index_dir, expected):
    """A build after a kill embeds what was not committed, and nothing else, and ends where it should."""
    committed = count_committed(index_dir)

    summary = build_index(tiny_gallery, tiny_bundle, index_dir)

    assert summary.embedded == PHOTO_COUNT - committed
    assert read_data(index_dir) == expected
    leftovers = [path.name for path in index_dir.rglob(".*")]
    assert leftovers == []


def test_a_build_killed_at_any_file_operation_is_continued(killer, tiny_gallery, tiny_bundle, tmp_path):
    expected = build_undisturbed(tiny_gallery, tiny_bundle, tmp_path)
    ended_by, events = killer.build(tmp_path / "counted", "event", -1)
    generator = np.random.default_rng(0)
    instants = sorted({1, events, *generator.integers(1, events + 1, 6).tolist()})

    for instant in instants:
        index_dir = tmp_path / f"killed_{instant}"
        assert killer.build(index_dir, "event", instant) == (signal.SIGKILL, instant)
        check_continuation(tiny_gallery, tiny_bundle, index_dir, expected)

    assert ended_by == 0
    assert events > 30


@pytest.mark.slow
def test_builds_killed_at_random_instants_are_continued(killer, tiny_gallery, tiny_bundle, tmp_path):
    expected = build_undisturbed(tiny_gallery, tiny_bundle, tmp_path)
    killer.build(tmp_path / "first", "event", -1)  # answered when the program has imported its modules
    started = time.monotonic()
    killer.build(tmp_path / "timed", "event", -1)
    duration_s = time.monotonic() - started
    generator = np.random.default_rng(0)
    committed_at_kill = []

    for number in range(50):
        index_dir = tmp_path / f"killed_{number}"
        killer.build(index_dir, "after", generator.uniform(0.02, 1.0) * duration_s)
        committed_at_kill.append(count_committed(index_dir))
        check_continuation(tiny_gallery, tiny_bundle, index_dir, expected)

    assert any(0 < committed < PHOTO_COUNT for committed in committed_at_kill)


@pytest.mark.slow
def test_an_update_killed_at_every_file_operation_leaves_a_whole_snapshot(killer, tiny_gallery, tiny_bundle, tmp_path):
    expected = build_undisturbed(tiny_gallery, tiny_bundle, tmp_path)
    smaller = Path(shutil.copytree(tiny_gallery, tmp_path / "smaller"))
    (smaller / "blue" / "blue_000.jpg").unlink()
    build_index(smaller, tiny_bundle, tmp_path / "old")
    old = read_data(tmp_path / "old")
    _, events = killer.build(Path(shutil.copytree(tmp_path / "old", tmp_path / "counted")), "event", -1)

    for instant in range(1, events + 1):
        index_dir = Path(shutil.copytree(tmp_path / "old", tmp_path / "killed"))
        killer.build(index_dir, "event", instant)
        assert load_snapshot(index_dir).version in {1, 2}
        assert read_data(index_dir) in (old, expected)
        check_continuation(tiny_gallery, tiny_bundle, index_dir, expected)
        assert read_map(index_dir) == read_map(tmp_path / "counted")
        shutil.rmtree(index_dir)
