"""Writing that leaves the old state or the new one."""

import os
import shutil
from pathlib import Path

import pytest

from beedex.index.durable import create_file, replace_file, sha256_file, write_directory


class InterruptedWriteError(Exception):
    """Stands for whatever may go wrong while a directory is written."""


def write_and_fail(final: Path, *, replace: bool) -> None:
    with write_directory(final, replace=replace) as directory:
        (directory / "half").write_text("half")
        raise InterruptedWriteError


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    with write_directory(tmp_path / "deep" / "final") as directory:
        (directory / "file").write_text("content")
        assert not (tmp_path / "deep" / "final").exists()

    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["final"]
    assert (tmp_path / "deep" / "final" / "file").read_text() == "content"


@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_write_leaves_nothing_new(tmp_path: Path, replace: bool) -> None:
    if replace:
        (tmp_path / "final").mkdir()
        (tmp_path / "final" / "old").write_text("old")

    with pytest.raises(InterruptedWriteError):
        write_and_fail(tmp_path / "final", replace=replace)

    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == (["final", "final/old"] if replace else [])


def test_an_existing_directory_gives_way_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()

    with pytest.raises(FileExistsError):
        write_and_fail(tmp_path / "final", replace=False)


def test_replacing_a_directory_leaves_no_rest(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with write_directory(tmp_path / "final", replace=True) as directory:
            (directory / content).write_text(content)

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["final", "final/second"]


def test_what_a_killed_writer_left_is_cleared_and_the_old_state_is_back(tmp_path: Path) -> None:
    (tmp_path / ".final.abc.partial").mkdir()
    (tmp_path / ".final.abc.replaced").mkdir()
    (tmp_path / ".final.abc.replaced" / "old").write_text("old")

    with pytest.raises(InterruptedWriteError):
        write_and_fail(tmp_path / "final", replace=True)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["final", "final/old"]


def test_a_living_writers_directory_is_left_alone(tmp_path: Path) -> None:
    with write_directory(tmp_path / "final") as first:
        (first / "mine").write_text("first")
        with write_directory(tmp_path / "final", replace=True) as second:
            (second / "mine").write_text("second")
        assert (first / "mine").read_text() == "first"
        shutil.rmtree(tmp_path / "final")

    assert (tmp_path / "final" / "mine").read_text() == "first"


def test_a_replaced_file_is_readable_by_others(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        replace_file(tmp_path / "file", b"content")
    finally:
        os.umask(previous)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checksums_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")

    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "file") == expected


def test_of_several_writers_the_first_ones_file_stays(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        create_file(tmp_path / "file", content)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"first"


def test_a_file_that_can_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")

    with pytest.raises(NotADirectoryError):
        create_file(tmp_path / "folder" / "file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
