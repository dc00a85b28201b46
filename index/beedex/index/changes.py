"""Changes: single entries that were put into an index or taken out of it between two builds.

    INDEX/changes.sqlite      a row for each photo that was put in or taken out, the last change alone
    INDEX/photos/ab/abcd...   the photos that were put in, by sha256: another embedder has to embed them anew

A change is on the disk before it is acknowledged, and counts for every search that begins after that, in this process
and in others. The next build makes it part of a snapshot: then it is *settled*, and kept only to be repeated by later
builds while the gallery says otherwise. The gallery has the last word: when its label of a changed photo is another one
than at the build that settled the change, the change is dropped.

The file keeps SQLite's rollback journal and not WAL: readers of a directory that they may not write to can open it.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beedex.index.durable import make_directory, replace_file, sha256_file
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError
from beedex.index.versions import explain_os_errors

__all__ = ["CHANGES_NAME", "Change", "ChangeLog", "locate_photo"]

CHANGES_NAME = "changes.sqlite"
PHOTOS_NAME = "photos"

SCHEMA_VERSION = 1

# "bchg" in ASCII: SQLite's mark for a file that belongs to an application.
APPLICATION_ID = 0x62636867

# How long a reader waits for a commit, and a writer for another one.
BUSY_TIMEOUT_S = 10.0

CREATE_TABLES = (
    """CREATE TABLE changes (
        sha256 TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        family TEXT, -- NULL: taken out
        path TEXT NOT NULL,
        "group" TEXT,
        species TEXT NOT NULL,
        source TEXT NOT NULL,
        license TEXT NOT NULL,
        credit TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        vector BLOB, -- (D,) little-endian float32; NULL: taken out
        settled INTEGER NOT NULL,
        gallery_family TEXT, -- at the build that settled it; NULL: the photo was not in the gallery
        checksum INTEGER NOT NULL
    )""",
    "CREATE TABLE counter (last INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

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
        gallery_family: the gallery's label at that build; None if the gallery did not hold the photo.
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
        self._path = index_dir / CHANGES_NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, ...] = ()
        self._own_changes = 0

    def put(self, entry: Entry, vector: NDArray[np.float32], fingerprint: str, *, photo: bytes | None = None) -> None:
        """Put an entry in, or in place of what is known of its photo; it is on the disk when this returns.

        Args:
            entry: what the photo is.
            vector: (D,) float32 of norm 1.
            fingerprint: of the embedder that made the vector.
            photo: its bytes, to be kept; None where the gallery holds them.
        """
        change = Change(sequence=0, sha256=entry.sha256, entry=entry, fingerprint=fingerprint, vector=vector)
        self._write(change, photo=photo)

    def take_out(self, sha256: str) -> None:
        """Take a photo out; that is on the disk when this returns."""
        self._write(Change(sequence=0, sha256=sha256, entry=None))

    def version(self) -> tuple[int, ...]:
        """Return what is another value after every change, in whichever process; costs one small read."""
        with self._lock, self._explain():
            connection = self._open_existing()
            if connection is None:
                return ()
            return (*connection.execute("PRAGMA data_version").fetchone(), self._own_changes)

    def read(self) -> list[Change]:
        """Return every change, oldest first."""
        with self._lock, self._explain():
            connection = self._open_existing()
            if connection is None:
                return []
            rows = connection.execute(f"SELECT {COLUMNS}, checksum FROM changes ORDER BY sequence").fetchall()  # noqa: S608 - the columns are a constant
        return [self._parse(row) for row in rows]

    def check(self) -> None:
        """Check every page, row and kept photo; raises IndexDirectoryError at the first damage."""
        with self._lock, self._explain():
            connection = self._open_existing()
            if connection is None:
                return
            (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if finding != "ok":
            raise self._call_damaged(finding)
        for change in self.read():
            path = locate_photo(self._index_dir, change.sha256)
            if path.exists() and sha256_file(path) != change.sha256:
                raise IndexDirectoryError(
                    f"{path} is damaged: its sha256 is not its name; put the photo in again with `beedex index upsert`"
                )

    def settle(self, kept: Mapping[Change, str | None], dropped: Iterable[Change]) -> None:
        """Note that a build has published changes; those that came meanwhile stay as they are.

        Photos that only dropped changes, or changes that took them out, needed are deleted.

        Args:
            kept: settled changes and the gallery's label of their photo, None where it has none.
            dropped: changes that the gallery agrees with by now, or overrules.
        """
        with self._transaction() as connection:
            for change in dropped:
                done = connection.execute(
                    "DELETE FROM changes WHERE sha256 = ? AND sequence = ?", (change.sha256, change.sequence)
                )
                if done.rowcount:
                    locate_photo(self._index_dir, change.sha256).unlink(missing_ok=True)
            for change, family in kept.items():
                values = _list_values(change, change.sequence, settled=True, gallery_family=family)
                done = connection.execute(
                    "UPDATE changes SET settled = 1, gallery_family = ?, checksum = ? "
                    "WHERE sha256 = ? AND sequence = ?",
                    (family, _checksum(values), change.sha256, change.sequence),
                )
                if done.rowcount and change.entry is None:
                    locate_photo(self._index_dir, change.sha256).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self, change: Change, *, photo: bytes | None = None) -> None:
        with self._transaction() as connection:
            if photo is not None:
                # In the transaction: a build that drops the photo's former change deletes its copy.
                path = locate_photo(self._index_dir, change.sha256)
                with explain_os_errors(path, "written"):
                    make_directory(path.parent)
                    replace_file(path, photo)
            connection.execute("UPDATE counter SET last = last + 1")
            (sequence,) = connection.execute("SELECT last FROM counter").fetchone()
            values = _list_values(change, sequence, settled=False, gallery_family=None)
            marks = ", ".join("?" * (COLUMN_COUNT + 1))
            connection.execute(f"INSERT OR REPLACE INTO changes VALUES ({marks})", (*values, _checksum(values)))  # noqa: S608 - only ? marks are added

    def _parse(self, row: tuple[Any, ...]) -> Change:
        *values, checksum = row
        if checksum != _checksum(values):
            raise self._call_damaged(f"the change of photo {str(values[0])[:12]}")
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

    def _open_existing(self) -> sqlite3.Connection | None:
        """Return the connection, opened for reading if need be; None where there is no file yet."""
        if self._connection is None and self._path.exists():
            self._connection = self._connect("rw" if _is_writable(self._path) else "ro")
        return self._connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions are begun by name
            check_same_thread=False,  # the lock is held for every use
        )
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if (application_id, version, tables) == (0, 0, 0):
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been quicker.
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,):
                for statement in CREATE_TABLES:
                    connection.execute(statement)
            connection.execute("COMMIT")
        elif application_id != APPLICATION_ID:
            raise IndexDirectoryError(
                f"{self._path} belongs to another application, expected the changes of an index; move it away"
            )
        elif version != SCHEMA_VERSION:
            raise IndexDirectoryError(
                f"{self._path} was written by another version of beedex, expected schema version {SCHEMA_VERSION}, "
                f"received {version}; use that version"
            )
        # Each commit reaches the disk: what was acknowledged stays so when the machine loses power.
        connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explain():
            connection = self._open_existing()
            if connection is None:
                self._connection = connection = self._connect("rwc")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            # SQLite's own counter doesn't count what this connection commits.
            self._own_changes += 1

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise IndexDirectoryError(
                f"{self._path} can't be opened, read or written: {error}; look for missing permissions or a full disk; "
                "what was acknowledged before is kept"
            ) from error
        # The text decoder of damaged strings raises the second one in some releases of Python.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._call_damaged(str(error)) from error

    def _call_damaged(self, finding: str) -> IndexDirectoryError:
        return IndexDirectoryError(
            f"{self._path} is damaged: {finding}; move it away to go on without the entries that were put in or taken "
            "out since the last build"
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


def _is_writable(path: Path) -> bool:
    try:
        with path.open("r+b"):
            return True
    except OSError:
        return False


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
