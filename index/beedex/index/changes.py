"""Changes: single entries that were put into an index or taken out of it between two builds.

    INDEX/changes.sqlite      a row for each photo that was put in or taken out, the last change alone
    INDEX/photos/ab/abcd...   the photos that were put in, by sha256: another embedder has to embed them anew

A change is on the disk before it is acknowledged, and counts for every search that begins after that, in this process
and in others. The next build makes it part of a snapshot: then it is *settled*, and kept only to be repeated by later
builds while the gallery says otherwise. The gallery has the last word: when its label of a changed photo is another one
than at the build that settled the change, the change is dropped.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beedex.index.changefile import ChangeFile
from beedex.index.durable import make_directory, replace_file, sha256_file
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError
from beedex.index.versions import explain_os_errors

__all__ = ["CHANGES_NAME", "Change", "ChangeLog", "locate_photo"]

CHANGES_NAME = "changes.sqlite"
PHOTOS_NAME = "photos"

COLUMNS = (
    'sha256, sequence, family, path, "group", species, source, license, credit, fingerprint, vector, settled, '
    "gallery_family"
)
COLUMN_COUNT = 13


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Change:
    """The last change of one photo; equal to itself alone.

    Attributes:
        sequence: ascending with time, never used twice.
        sha256: of the photo.
        entry: what it is now; None if it was taken out.
        fingerprint: of the embedder that made the vector.
        vector: (D,) float32 of norm 1; None if the photo was taken out.
        is_settled: whether a build has made it part of a snapshot.
        gallery_family: the gallery's label at the last build; None if the gallery did not hold the photo.
    """

    sequence: int
    sha256: str
    entry: Entry | None
    fingerprint: str = ""
    vector: NDArray[np.float32] | None = None
    is_settled: bool = False
    gallery_family: str | None = None


class ChangeLog:
    """The changes of an index; a context manager. Safe from any thread, and from several processes.

    The file is made by the first change; a directory without one has no changes.

    Args:
        index_dir: the index directory.

    Raises:
        IndexDirectoryError: the file is damaged, of another version, or can't be read. Every method raises it.
    """

    def __init__(self, index_dir: Path) -> None:
        self._index_dir = index_dir
        self._file = ChangeFile(index_dir / CHANGES_NAME)

    def put(
        self,
        entry: Entry,
        vector: NDArray[np.float32],
        fingerprint: str,
        *,
        photo: bytes | None = None,
        gallery_family: str | None = None,
    ) -> None:
        """Put an entry in, or in place of what is known of its photo; it is on the disk when this returns.

        Args:
            entry: what the photo is.
            vector: (D,) float32 of norm 1.
            fingerprint: of the embedder that made the vector.
            photo: its bytes, to be kept; None where the gallery holds them.
            gallery_family: the gallery's label at the last build; an earlier change of the photo knows better.
        """
        change = Change(
            sequence=0,
            sha256=entry.sha256,
            entry=entry,
            fingerprint=fingerprint,
            vector=vector,
            gallery_family=gallery_family,
        )
        self._write(change, photo=photo)

    def take_out(self, sha256: str, *, gallery_family: str | None = None) -> None:
        """Take a photo out, of which the gallery said *gallery_family*; that is on the disk when this returns."""
        self._write(Change(sequence=0, sha256=sha256, entry=None, gallery_family=gallery_family))

    def version(self) -> tuple[int, ...]:
        """Return what is another value after every change, in whichever process; costs one small read."""
        return self._file.version()

    def read(self) -> list[Change]:
        """Return every change, oldest first."""
        with self._file.read() as connection:
            if connection is None:
                return []
            rows = connection.execute(f"SELECT {COLUMNS}, checksum FROM changes ORDER BY sequence").fetchall()  # noqa: S608 - the columns are a constant
        return [self._parse(row) for row in rows]

    def list_photos(self) -> set[str]:
        """Return the sha256 of the photos that are kept."""
        return {path.name for path in self._find_photos() if not path.name.startswith(".")}

    def check(self) -> None:
        """Check every page, row and kept photo; raises IndexDirectoryError at the first damage."""
        with self._file.read() as connection:
            finding = "ok" if connection is None else connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if finding != "ok":
            raise self._file.call_damaged(finding)
        for change in self.read():
            path = locate_photo(self._index_dir, change.sha256)
            with explain_os_errors(self._index_dir, "read"):
                is_damaged = path.exists() and sha256_file(path) != change.sha256
            if is_damaged:
                raise IndexDirectoryError(
                    f"{path} is damaged: its sha256 is not its name; put the photo in again with `beedex index upsert`"
                )

    def settle(self, kept: Mapping[Change, str | None], dropped: Iterable[Change]) -> None:
        """Note that a build has published changes; those that came meanwhile stay as they are.

        Kept photos that no change needs any more are deleted.

        Args:
            kept: settled changes and the gallery's label of their photo, None where it has none.
            dropped: changes that the gallery agrees with by now, or overrules.
        """
        with self._file.write() as connection:
            connection.executemany(
                "DELETE FROM changes WHERE sha256 = ? AND sequence = ?",
                [(change.sha256, change.sequence) for change in dropped],
            )
            for change, family in kept.items():
                values = _list_values(change, change.sequence, settled=True, gallery_family=family)
                connection.execute(
                    "UPDATE changes SET settled = 1, gallery_family = ?, checksum = ? "
                    "WHERE sha256 = ? AND sequence = ?",
                    (family, _checksum(values), change.sha256, change.sequence),
                )
        self.sweep()

    def sweep(self) -> None:
        """Delete the photos that no change puts in, and what killed processes left of others."""
        if not any(self._find_photos()):
            return
        # After the commit that made them needless, so that none is missed if that fails; in a transaction, so that
        # none is written meanwhile.
        with self._file.write() as connection, explain_os_errors(self._index_dir, "written"):
            needed = {row[0] for row in connection.execute("SELECT sha256 FROM changes WHERE family IS NOT NULL")}
            for path in self._find_photos():
                if path.name not in needed:
                    path.unlink()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, change: Change, *, photo: bytes | None = None) -> None:
        with self._file.write() as connection:
            if photo is not None:
                # In the transaction: a build deletes copies that no change needs.
                path = locate_photo(self._index_dir, change.sha256)
                with explain_os_errors(path, "written"):
                    make_directory(path.parent)
                    replace_file(path, photo)
            connection.execute("UPDATE counter SET last = last + 1")
            (sequence,) = connection.execute("SELECT last FROM counter").fetchone()
            former = self._find(connection, change.sha256)
            gallery_family = change.gallery_family if former is None else former.gallery_family
            values = _list_values(change, sequence, settled=False, gallery_family=gallery_family)
            marks = ", ".join("?" * (COLUMN_COUNT + 1))
            connection.execute(f"INSERT OR REPLACE INTO changes VALUES ({marks})", (*values, _checksum(values)))  # noqa: S608 - only ? marks are added

    def _find(self, connection: sqlite3.Connection, sha256: str) -> Change | None:
        row = connection.execute(f"SELECT {COLUMNS}, checksum FROM changes WHERE sha256 = ?", (sha256,)).fetchone()  # noqa: S608 - the columns are a constant
        return None if row is None else self._parse(row)

    def _find_photos(self) -> list[Path]:
        with explain_os_errors(self._index_dir, "read"):
            return list((self._index_dir / PHOTOS_NAME).glob("*/*"))

    def _parse(self, row: tuple[Any, ...]) -> Change:
        *values, checksum = row
        if checksum != _checksum(values):
            raise self._file.call_damaged(f"the change of photo {str(values[0])[:12]}")
        sha256, sequence, family, path, group, species, source, license_, credit = values[:9]
        fingerprint, vector, settled, gallery_family = values[9:]
        entry = None
        if family is not None:
            entry = Entry(
                sha256=sha256,
                family=family,
                path=path,
                group=group,
                species=species,
                source=source,
                license=license_,
                credit=credit,
            )
        return Change(
            sequence=sequence,
            sha256=sha256,
            entry=entry,
            fingerprint=fingerprint,
            vector=None if vector is None else np.frombuffer(vector, "<f4").astype(np.float32),
            is_settled=bool(settled),
            gallery_family=gallery_family,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def locate_photo(index_dir: Path, sha256: str) -> Path:
    """Return where a photo that was put in lies, whether it is there or not."""
    return index_dir / PHOTOS_NAME / sha256[:2] / sha256


def _list_values(change: Change, sequence: int, *, settled: bool, gallery_family: str | None) -> tuple[Any, ...]:
    entry, vector = change.entry, change.vector
    described = (
        (entry.family, entry.path, entry.group, entry.species, entry.source, entry.license, entry.credit)
        if entry
        else (None, "", None, "", "", "", "")
    )
    data = None if vector is None else vector.astype("<f4").tobytes()
    return (change.sha256, sequence, *described, change.fingerprint, data, int(settled), gallery_family)


def _checksum(values: Iterable[str | int | bytes | None]) -> int:
    checksum = 0
    for value in values:
        data = value if isinstance(value, bytes) else repr(value).encode()
        checksum = zlib.crc32(data + b"\0", checksum)
    return checksum
