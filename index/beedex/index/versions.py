"""The numbered directories of an index, and the pointer to the one that is served.

INDEX/
    CURRENT             the number of the served snapshot, replaced atomically
    snapshots/000007/   see `beedex.index.snapshots`
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beedex.index.durable import replace_file
from beedex.index.errors import IndexDirectoryError

__all__ = [
    "current_version",
    "delete_snapshot",
    "explain_os_errors",
    "find_earlier",
    "hold_pointer",
    "list_snapshots",
    "locate_snapshot",
    "next_version",
    "point_at",
    "require_current",
    "stamp_pointer",
    "sweep_leftovers",
]

CURRENT_NAME = "CURRENT"
SNAPSHOTS_NAME = "snapshots"

VERSION_PATTERN = re.compile(r"[0-9]{6,}")


def locate_snapshot(index_dir: Path, version: int) -> Path:
    """Return the directory of a snapshot, whether it is there or not."""
    return index_dir / SNAPSHOTS_NAME / f"{version:06}"


def list_snapshots(index_dir: Path) -> tuple[int, ...]:
    """Return the versions whose directories are there, whole or damaged, ascending."""
    with explain_os_errors(index_dir, "read"):
        try:
            names = [path.name for path in (index_dir / SNAPSHOTS_NAME).iterdir()]
        except FileNotFoundError:
            return ()
    return tuple(sorted(int(name) for name in names if VERSION_PATTERN.fullmatch(name)))


def current_version(index_dir: Path) -> int | None:
    """Return the version that is served, or None when nothing was published yet.

    It costs one small read, so that a server can ask every second.

    Raises:
        IndexDirectoryError: the pointer can't be read or is damaged.
    """
    path = index_dir / CURRENT_NAME
    with explain_os_errors(index_dir, "read"):
        try:
            text = path.read_bytes().decode("ascii", "replace")
        except FileNotFoundError:
            return None
    if VERSION_PATTERN.fullmatch(text.removesuffix("\n")) is None:
        known = ", ".join(map(str, list_snapshots(index_dir))) or "none"
        raise IndexDirectoryError(
            f"{path} is damaged: expected a number such as 000007, received {text[:20]!r}; choose one with "
            f"`beedex index activate {index_dir} VERSION`, the snapshots here are: {known}"
        )
    return int(text)


def stamp_pointer(index_dir: Path) -> tuple[int, ...]:
    """Return what is another value whenever another snapshot was made current, without reading a file."""
    with explain_os_errors(index_dir, "read"):
        try:
            status = (index_dir / CURRENT_NAME).stat()
        except FileNotFoundError:
            return ()
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def require_current(index_dir: Path) -> int:
    """Return the version that is served.

    Raises:
        IndexDirectoryError: there is no index, nothing was published yet, or the pointer is damaged.
    """
    version = current_version(index_dir)
    if version is None:
        state = "holds no snapshot yet" if index_dir.is_dir() else "is no directory"
        raise IndexDirectoryError(
            f"{index_dir} {state}, expected an index; build one with `beedex index build GALLERY --embedder BUNDLE "
            f"--index {index_dir}`"
        )
    return version


def find_earlier(index_dir: Path) -> int | None:
    """Return the version to roll back to, the next lower one than the current that is there; None if there is none.

    The order is that of publishing, not of activating, so that two rollbacks go back two versions.

    Raises:
        IndexDirectoryError: there is no index, or the pointer is damaged.
    """
    current = require_current(index_dir)
    return max((version for version in list_snapshots(index_dir) if version < current), default=None)


def next_version(index_dir: Path) -> int:
    """Return the number after all that are there; a damaged pointer doesn't keep a build from replacing it."""
    try:
        current = current_version(index_dir) or 0
    except IndexDirectoryError:
        current = 0
    return 1 + max([current, *list_snapshots(index_dir)])


def point_at(index_dir: Path, version: int) -> None:
    """Make *version* the one that is served; the caller holds the pointer and has seen the snapshot whole."""
    replace_file(index_dir / CURRENT_NAME, f"{version:06}\n".encode())


@contextmanager
def hold_pointer(index_dir: Path) -> Iterator[None]:
    """Keep other processes from publishing, activating and deleting for as long as the block runs.

    The lock is on the directory itself and is held for seconds, unlike the one of a build: a rollback must not have
    to wait for a build of hours, nor may a build delete the snapshot that is being activated.
    """
    descriptor = os.open(index_dir, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep_leftovers(index_dir: Path) -> None:
    """Delete what killed processes left; the caller holds the pointer, so no live one has anything unfinished."""
    leftovers = [*index_dir.glob(f".{CURRENT_NAME}.*"), *index_dir.glob(f"{SNAPSHOTS_NAME}/.*")]
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def delete_snapshot(index_dir: Path, version: int) -> None:
    """Delete a snapshot: first its name, so that none is ever listed that is half gone."""
    directory = locate_snapshot(index_dir, version)
    doomed = directory.with_name(f".{directory.name}.deleted")
    directory.rename(doomed)
    shutil.rmtree(doomed)


@contextmanager
def explain_os_errors(index_dir: Path, verb: str) -> Iterator[None]:
    """Turn the operating system's refusals into an IndexDirectoryError.

    Args:
        index_dir: the index directory.
        verb: what can't be done to it: "read" or "written".
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise IndexDirectoryError(
            f"the index directory {index_dir} can't be {verb}: {error.strerror or error}{where}; mend that and run "
            "the command again, the snapshots that are there stay whole"
        ) from error
