"""Writing so that a reader, and a machine that loses power, see the old state or the new one and nothing between.

The order is the one of https://lwn.net/Articles/457667/: write beside, fsync the files, fsync the directory,
rename, fsync the parent.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["create_file", "make_directory", "replace_file", "sha256_file", "write_directory"]

PARTIAL_SUFFIX = ".partial"
REPLACED_SUFFIX = ".replaced"


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits, reading it in pieces into the same memory."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_directory(path: Path) -> None:
    """Make a directory and those above it, if need be; they are on the disk when this returns."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Put *data* at *path* atomically: a reader gets all of the old bytes or all of the new ones."""
    with _write_beside(path, data) as temporary:
        temporary.replace(path)
    _sync(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Put *data* at *path* atomically, unless there is a file: of several writers the first one's stays."""
    with _write_beside(path, data) as temporary:
        # A rename would put the second writer's file in place of what the first one has got into its own.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()
    _sync(path.parent)


@contextmanager
def _write_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Yield a file with *data*, on the disk, in the directory of *path*; the block moves or deletes it."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial"
    try:
        # Not mkstemp: its files are readable by their owner alone, and a server may run as another user.
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def write_directory(final: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary directory beside *final* that takes its name if the block succeeds.

    Args:
        final: the directory's name in the end; its parent is made if need be.
        replace: whether an existing *final* may give way. It is moved aside first and deleted last, so for an
            instant neither is there: readers that must never see that use a pointer file. A writer killed in that
            instant leaves it aside, and the next one puts it back.

    Raises:
        FileExistsError: *final* exists and *replace* is false.
    """
    if final.exists() and not replace:
        raise FileExistsError(f"{final} exists already")
    final.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(final)
    # The name starts with a dot, so that listings skip it.
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=PARTIAL_SUFFIX, dir=final.parent))
    # mkdtemp closes it to all but its owner, and a server may run as another user.
    temporary.chmod(0o755)
    try:
        with _lock(temporary):
            yield temporary
            for folder, _, files in os.walk(temporary):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            _take_place(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(final.parent)


def _clear_leftovers(final: Path) -> None:
    """Undo what writers of *final* left that were killed: they hold no lock any more."""
    for aside in final.parent.glob(f".{final.name}.*{REPLACED_SUFFIX}"):
        if final.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(final)
    for partial in final.parent.glob(f".{final.name}.*{PARTIAL_SUFFIX}"):
        if not partial.is_dir():
            continue
        try:
            with _lock(partial):
                shutil.rmtree(partial, ignore_errors=True)
        except OSError:
            # Its writer lives, or it is gone by now.
            continue


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold a directory's lock, which the kernel frees when the process ends, however it ends.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _take_place(temporary: Path, final: Path) -> None:
    """Rename *temporary* to *final*, moving an existing *final* out of the way."""
    if not final.exists():
        temporary.rename(final)
        return
    aside = temporary.with_suffix(REPLACED_SUFFIX)
    final.rename(aside)
    try:
        temporary.rename(final)
    except OSError:
        aside.rename(final)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
