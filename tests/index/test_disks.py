"""Indexes on real file systems that are full or read-only, and damage to every kind of file."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beedex.index.errors import BeedexError, IndexDirectoryError
from beedex.index.index import Index
from beedex.index.overview import verify_index
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.index.snapshots import current_version

# The index of the small gallery takes some 230 kB; room for it twice, and not for many more photos.
DISK_KB = 500

MOUNT, UMOUNT = shutil.which("mount") or "", shutil.which("umount") or ""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of `DISK_KB`."""
    path = tmp_path / "disk"
    path.mkdir()
    if not MOUNT or not UMOUNT:
        pytest.skip("no mount command")
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount file systems")
    yield path
    # Lazily: a snapshot's file stays open as long as anyone holds it, a traceback that pytest keeps for example.
    subprocess.run([UMOUNT, "-l", path], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run([MOUNT, "-o", f"remount,{how}", disk], check=True)


def put_in(index_dir: Path, photos: list[Path]) -> None:
    with Index.open(index_dir) as index:
        for photo in photos:
            index.upsert(photo, "blue")


def answer(index_dir: Path, tiny_gallery: Path) -> list[tuple[str, float]]:
    """What is found for a photo of the gallery."""
    with Searcher.open(index_dir) as searcher:
        found = searcher.neighbors(tiny_gallery / "blue" / "blue_001.jpg", 5)
        return [(neighbor.entry.path, neighbor.similarity) for neighbor in found]


def test_a_disk_that_fills_up_is_one_error_and_the_served_snapshot_answers_on(
    disk, tiny_gallery, tiny_gallery_copy, tiny_bundle
):
    index_dir = disk / "index"
    build_index(tiny_gallery, tiny_bundle, index_dir)
    before = answer(index_dir, tiny_gallery)
    filler = disk / "filler"
    generator = np.random.default_rng(0)
    for number in range(60):
        noise = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tiny_gallery_copy / "blue" / f"new_{number}.png")

    free = shutil.disk_usage(disk).free
    for left in (0, 8_000, 24_000, 48_000):
        filler.write_bytes(bytes(max(0, free - left)))
        with pytest.raises(IndexDirectoryError, match=r"can't be .*(written|full)"):
            build_index(tiny_gallery_copy, tiny_bundle, index_dir)
        with pytest.raises(IndexDirectoryError, match="can't be"):
            put_in(index_dir, sorted((tiny_gallery_copy / "blue").glob("new_*.png")))
        filler.unlink()
        assert current_version(index_dir) == 1
        with Searcher.open(index_dir, version=1) as searcher:
            assert len(searcher.view) == 18
        free = shutil.disk_usage(disk).free

    summary = build_index(tiny_gallery_copy, tiny_bundle, index_dir)
    assert summary.entries == 18 + 60
    assert answer(index_dir, tiny_gallery) == before
    assert [finding for finding in verify_index(index_dir) if finding.problem] == []


def test_an_index_on_a_read_only_disk_answers_and_every_change_is_one_error(
    disk, tiny_gallery, tiny_gallery_copy, tiny_bundle
):
    index_dir = disk / "index"
    build_index(tiny_gallery, tiny_bundle, index_dir)
    with Index.open(index_dir) as index:
        photo = tiny_gallery / "amber" / "amber_001.jpg"
        moved = index.upsert(photo, "blue")
    (tiny_gallery_copy / "blue" / "blue_000.jpg").unlink()
    before = answer(index_dir, tiny_gallery)

    remount(disk, "ro")
    try:
        with Index.open(index_dir) as index:
            assert index.families() == {"amber": 5, "blue": 7, "clover": 6}
            assert index.neighbors(photo, 1)[0].entry == moved
            for change in (
                lambda: index.upsert(photo, "clover"),
                lambda: index.relabel(moved.entry_id, "clover"),
                lambda: index.delete(moved.entry_id),
            ):
                with pytest.raises(IndexDirectoryError, match="can't be"):
                    change()
            assert index.families() == {"amber": 5, "blue": 7, "clover": 6}
        with pytest.raises(IndexDirectoryError, match="can't be"):
            build_index(tiny_gallery_copy, tiny_bundle, index_dir)
        assert answer(index_dir, tiny_gallery) == before
    finally:
        remount(disk, "rw")

    assert build_index(tiny_gallery_copy, tiny_bundle, index_dir).removed == 1


def list_files(index_dir: Path) -> list[Path]:
    """Every file whose bytes mean something; SQLite writes its -wal and -shm anew."""
    names = [path.relative_to(index_dir) for path in index_dir.rglob("*") if path.is_file()]
    return sorted(name for name in names if name.name != "LOCK" and not name.name.endswith(("-wal", "-shm")))


def flip_bit(data: bytes, generator: np.random.Generator) -> bytes:
    flipped = bytearray(data)
    flipped[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
    return bytes(flipped)


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped bit": flip_bit,
    "truncated": lambda data, generator: data[: int(generator.integers(1, len(data)))],
    "emptied": lambda _data, _generator: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_named_or_does_not_matter(damage, tiny_gallery, tiny_bundle, tmp_path):
    """Verify finds it, or every answer is the same; of a file that a checksum covers, verify finds it."""
    whole = tmp_path / "whole"
    build_index(tiny_gallery, tiny_bundle, whole)
    put_in(whole, [tiny_gallery / "amber" / "amber_001.jpg"])
    expected = answer(whole, tiny_gallery)
    generator = np.random.default_rng(0)
    files = list_files(whole)
    assert {path.name for path in files} >= {"CURRENT", "catalog.sqlite", "changes.sqlite", "manifest.json"}

    for name in files:
        index_dir = Path(shutil.copytree(whole, tmp_path / "damaged"))
        (index_dir / name).write_bytes(DAMAGES[damage]((whole / name).read_bytes(), generator))
        problems = find_problems(index_dir)
        if name.parent == Path() and not problems:
            # Most of a small SQLite file is free space, and the pointer may lose its newline.
            assert answer(index_dir, tiny_gallery) == expected
        else:
            assert len(problems) >= 1, name
        shutil.rmtree(index_dir)


def find_problems(index_dir: Path) -> list[str]:
    try:
        return [finding.problem for finding in verify_index(index_dir) if finding.problem]
    except BeedexError as error:
        return [str(error)]
