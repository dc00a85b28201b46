"""The lock that one process at a time holds to change what snapshots are made of."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beedex.index.errors import IndexBusyError
from beedex.index.versions import explain_os_errors

__all__ = ["hold_build_lock"]

LOCK_NAME = "LOCK"


@contextmanager
def hold_build_lock(index_dir: Path) -> Iterator[None]:
    """Hold an index, made if need be, against other builds; the kernel lets go when the process ends, however it ends.

    Raises:
        IndexBusyError: another process holds it.
        IndexDirectoryError: the directory can't be written.
    """
    with explain_os_errors(index_dir, "written"):
        index_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(index_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "another process"
            raise IndexBusyError(
                f"the index {index_dir} is being built by process {holder}, expected one build at a time; "
                "wait for it to end or stop it, its work is kept"
            ) from error
        with explain_os_errors(index_dir, "written"):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
