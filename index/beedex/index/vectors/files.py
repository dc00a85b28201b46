"""FAISS indexes in files, written and read without a second copy in memory on the way."""

from pathlib import Path
from typing import Any

import faiss

from beedex.index.errors import SnapshotError

__all__ = ["map_index", "read_index", "write_index"]

TRANSFER_CHUNK_BYTES = 1 << 20

# The library's own stubs lack the names used through this one.
_untyped_faiss: Any = faiss


def write_index(index: Any, path: Path) -> None:  # noqa: ANN401 - FAISS has no types
    """Write an index.

    Raises:
        OSError: it can't be written, for instance because the disk is full.
    """
    # Not faiss.write_index(name): it leaves the last buffer to fclose and only prints when that fails.
    with path.open("wb") as file:
        faiss.write_index(index, _untyped_faiss.PyCallbackIOWriter(file.write, TRANSFER_CHUNK_BYTES))


def read_index(path: Path) -> Any:  # noqa: ANN401 - FAISS has no types
    """Read what `write_index` wrote into memory. Verify the file's checksum before: not all damage is recognizable.

    Raises:
        SnapshotError: the file can't be read or holds no index.
    """
    try:
        # By its name, not through Python: that takes half as long, and a server's requests don't wait meanwhile.
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise _explain(path, error) from error


def map_index(path: Path) -> Any:  # noqa: ANN401 - FAISS has no types
    """Read an index and leave its inverted lists in the file, where the system brings in what is looked at.

    The file may be deleted afterwards, but neither written to nor cut.

    Raises:
        SnapshotError: as `read_index`.
    """
    try:
        return faiss.read_index(str(path), _untyped_faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> SnapshotError:
    return SnapshotError(
        f"{path} can't be read as vectors, expected a file that `beedex index build` wrote, received: "
        f"{str(error).splitlines()[0]}"
    )
