"""Files that commands write: whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

__all__ = ["OutputError", "replace_file"]

# What a file gets that is made by `open`, less the umask; `mkstemp` would leave it to its owner alone.
NEW_FILE_MODE = 0o666


class OutputError(Exception):
    """What a command was to write can't be written."""


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside *path* and put it in its place; into a pipe or device it is written as it is.

    Raises:
        OutputError: it can't be written; what was there before still is.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            # Some that write ask for their place in the file, which a pipe doesn't know.
            content = BytesIO()
            write(content)
            path.write_bytes(content.getvalue())
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(name).chmod(NEW_FILE_MODE & ~_read_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error.strerror or error}; name a file in a directory that exists"
        ) from error


def _read_umask() -> int:
    # It can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
