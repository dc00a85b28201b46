"""Records by photo: what a network says of a photo, kept in one file that any number of runs share.

    records.bin   one fixed-size array a photo, one behind the other
    index.txt     a line a record, in the same order: the photo's sha256 and a checksum
    key.json      all that decides a record's content but the photo; its hash names the folder

A record counts when its line is there, and its line is written when the record is on disk. So a process that is killed
at any instant loses the records it was writing and damages none. Whatever stands behind the last line's record is the
rest of such a process; the next writer cuts it off. The checksum is over the photo's sha256 and the record: one that
disagrees is as good as missing, and what is written anew stands behind it and counts instead.

Writers of several processes take turns at each group of records, and a photo that another one has written meanwhile is
left out.
"""

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from beedex.index.durable import replace_file

__all__ = ["Records"]

# Part of the key: raise it when the files' layout changes.
FORMAT_VERSION = 1

# Written and fsynced together: at ten photos a second and four views each, the work of three seconds.
GROUP_PHOTOS = 8

# 64 hex digits, a space, 8 hex digits, a newline.
LINE_BYTES = 74


class Records:
    """A folder of records, open for reading and, in turns with other processes, for writing.

    Args:
        parent: the folder that this one lies in; both are made if need be.
        key: what decides a record's content but the photo, as plain data.
        shape: of a record.
        dtype: of a record.

    Raises:
        OSError: the folder can't be made or read; here and in every method, with the file's name.

    Example:
        >>> import tempfile
        >>> records = Records(Path(tempfile.mkdtemp()), {"network": "a"}, shape=(2,), dtype="float32")
        >>> records.extend([("0" * 64, np.ones(2))])
        >>> records.find(["1" * 64, "0" * 64]).tolist()
        [-1, 0]
        >>> records.map()[0].tolist()
        [1.0, 1.0]
    """

    def __init__(self, parent: Path, key: Mapping[str, Any], *, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._record_bytes = int(np.prod(shape)) * self._dtype.itemsize
        content = {**key, "format": FORMAT_VERSION, "shape": shape, "dtype": self._dtype.str}
        text = json.dumps(content, sort_keys=True, indent=1)
        self.folder = parent / hashlib.sha256(text.encode()).hexdigest()[:32]
        self._records_path, self._index_path = self.folder / "records.bin", self.folder / "index.txt"
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self._records_path, self._index_path):
            path.open("ab").close()  # touch would change the time of a file that is there
        if not (self.folder / "key.json").exists():
            replace_file(self.folder / "key.json", text.encode())  # which fsyncs the folder too
        self._count = 0
        self._numbers: dict[str, int] = {}  # the last record of each photo
        self._checksums: list[int] = []
        self._sound: dict[int, bool] = {}

    def find(self, photos: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of each photo's record, -1 where there is none or it is damaged.

        Each record asked for is read once in the life of this object, to look at its checksum.

        Args:
            photos: (N,) sha256, 64 hex digits each.
        """
        self._read_index()
        numbers = np.array([self._numbers.get(photo, -1) for photo in photos], dtype=np.int64)
        wanted = {number: photo for number, photo in zip(numbers.tolist(), photos, strict=True) if number >= 0}
        self._check(wanted)
        return np.array([number if self._sound.get(number, False) else -1 for number in numbers.tolist()], np.int64)

    def extend(self, records: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Write records as they come, a few at a time; what was written before an error stays.

        Args:
            records: pairs of a photo's sha256 and its record, which is cast to the dtype.
        """
        source = iter(records)
        while group := list(islice(source, GROUP_PHOTOS)):
            self._append([(photo, np.asarray(record, self._dtype)) for photo, record in group])

    def map(self) -> NDArray[Any]:
        """Return all records, (R, *shape), read only and not in memory; see `find` for which are sound."""
        if self._count == 0:
            return np.empty((0, *self._shape), self._dtype)
        mapped = np.memmap(self._records_path, self._dtype, mode="r", shape=(self._count, *self._shape))
        return np.asarray(mapped)  # rows taken from a memmap would call themselves memmaps too

    def _append(self, group: Sequence[tuple[str, NDArray[Any]]]) -> None:
        for photo, record in group:
            if record.shape != self._shape:
                raise ValueError(f"a record of {self._shape} was expected. Received: {record.shape} for photo {photo}")
        with self._take_turn() as (records_file, index_file):
            known = self.find([photo for photo, _ in group])
            new = [pair for pair, number in zip(group, known, strict=True) if number < 0]
            data = [record.tobytes() for _, record in new]
            lines = [_write_line(photo, _sum(photo, part)) for (photo, _), part in zip(new, data, strict=True)]
            # In this order: a line promises a record that is on disk.
            _put(records_file, self._count * self._record_bytes, b"".join(data), self._records_path)
            _put(index_file, self._count * LINE_BYTES, b"".join(lines), self._index_path)
            self._read_index()

    @contextmanager
    def _take_turn(self) -> Iterator[tuple[FileIO, FileIO]]:
        """Wait for other writers, and yield both files; the kernel ends the turn of a process that dies."""
        # Unbuffered: closing a buffered file after a failed write tries, and fails, once more.
        with (
            self._records_path.open("r+b", buffering=0) as records_file,
            self._index_path.open("r+b", buffering=0) as index_file,
        ):
            fcntl.flock(index_file, fcntl.LOCK_EX)
            yield records_file, index_file

    def _read_index(self) -> None:
        """Take in the lines that were added since."""
        count = min(
            self._index_path.stat().st_size // LINE_BYTES, self._records_path.stat().st_size // self._record_bytes
        )
        if count < self._count:  # somebody cut the files
            self._count = 0
            self._numbers, self._checksums, self._sound = {}, [], {}
        with self._index_path.open("rb") as file:
            file.seek(self._count * LINE_BYTES)
            added = file.read((count - self._count) * LINE_BYTES)
        for start in range(0, len(added), LINE_BYTES):
            photo, checksum = _read_line(added[start : start + LINE_BYTES])
            self._numbers[photo] = len(self._checksums)
            self._checksums.append(checksum)
        self._count = len(self._checksums)

    def _check(self, photos: Mapping[int, str]) -> None:
        """Look at the checksums of records that were not looked at yet, given by number."""
        unchecked = sorted(photos.keys() - self._sound.keys())
        with self._records_path.open("rb") as file:
            for number in unchecked:
                file.seek(number * self._record_bytes)
                self._sound[number] = _sum(photos[number], file.read(self._record_bytes)) == self._checksums[number]


def _sum(photo: str, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(photo.encode()))


def _write_line(photo: str, checksum: int) -> bytes:
    return f"{photo} {checksum:08x}\n".encode()


def _read_line(line: bytes) -> tuple[str, int]:
    """Read a line; a damaged one names no photo, or a record whose checksum disagrees."""
    try:
        return line[:64].decode("ascii"), int(line[65:73], 16)
    except ValueError:
        return "", 0


def _put(file: FileIO, offset: int, data: bytes, path: Path) -> None:
    """Write at an offset, cut off what stood behind, and wait for the disk.

    Raises:
        OSError: with the file's name, which write and fsync leave out.
    """
    try:
        file.seek(offset)
        file.truncate()
        rest = memoryview(data)
        while rest:  # a nearly full disk takes less than it is given, and then nothing
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
