"""The catalog: everything an index has learned, from which any snapshot can be made again without embedding.

One SQLite file in WAL mode. A process that dies leaves what it had committed; what it had not is rolled back when the
file is opened next. Only one process may write (see `beedex.index.rebuild`); any number may read.

Rows whose damage SQLite can't notice and a build would spread carry a CRC-32.
"""

import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError

__all__ = ["Catalog", "FileStamp", "HashedFile", "SkippedPhoto"]

SCHEMA_VERSION = 1

# "beed" in ASCII: SQLite's mark for a file that belongs to an application.
APPLICATION_ID = 0x62656564

# SQLite accepts at least 999 parameters a statement.
PARAMETERS_PER_STATEMENT = 900

# How long a reader waits for the instant in which the writer locks the file.
BUSY_TIMEOUT_S = 10.0

CREATE_TABLES = (
    """CREATE TABLE embeddings (
        photo_sha256 TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        vector BLOB NOT NULL, -- (D,) little-endian float32
        checksum INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, photo_sha256)
    )""",
    """CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE entries (
        sha256 TEXT PRIMARY KEY,
        family TEXT NOT NULL,
        path TEXT NOT NULL,
        "group" TEXT,
        species TEXT NOT NULL,
        source TEXT NOT NULL,
        license TEXT NOT NULL,
        credit TEXT NOT NULL
    )""",
    "CREATE TABLE skipped (path TEXT PRIMARY KEY, reason TEXT NOT NULL, message TEXT NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class FileStamp:
    """By what a changed file is told from an unchanged one without reading it.

    The time of the last status change can't be set by programs: a file that was replaced under its old size and
    modification time (`cp -p`, `rsync -t`) still shows.
    """

    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file's sha256, and the stamp that it had when it was read."""

    stamp: FileStamp
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedPhoto:
    """A photo of the gallery that is not in the index.

    Attributes:
        path: within the gallery.
        reason: a `PhotoReason`, or CONFLICT (the same photo is in two families) or CHANGED (while it was read).
        message: for a person.
    """

    path: str
    reason: str
    message: str


class Catalog:
    """An open catalog; a context manager. For one thread.

    Args:
        path: the file; made if it isn't there, unless *read_only*.
        read_only: whether nothing may be changed.

    Raises:
        IndexDirectoryError: the file can't be opened, is damaged, or is not a catalog of this version. Every method
            raises it when the file can't be read or written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        mode = "ro" if read_only else "rwc"
        with self._explain():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,  # transactions are begun below, by name
            )
        try:
            with self._explain():
                self._check()
                if not read_only:
                    self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def list_embedded(self, fingerprint: str) -> set[str]:
        """Return the sha256 of every photo whose embedding by this embedder is here."""
        with self._explain():
            rows = self._connection.execute("SELECT photo_sha256 FROM embeddings WHERE fingerprint = ?", (fingerprint,))
            return {row[0] for row in rows}

    def count_embeddings(self) -> dict[str, int]:
        """Return the number of embeddings by embedder."""
        with self._explain():
            rows = self._connection.execute(
                "SELECT fingerprint, COUNT(*) FROM embeddings GROUP BY fingerprint ORDER BY fingerprint"
            )
            return dict(rows.fetchall())

    def add_embeddings(self, fingerprint: str, sha256s: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep the (N, D) vectors of (N,) photos; they are on the disk when this returns."""
        rows = []
        for sha256, vector in zip(sha256s, vectors, strict=True):
            data = vector.astype("<f4").tobytes()
            rows.append((sha256, fingerprint, data, _checksum(sha256, fingerprint, data)))
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", rows)

    def read_embeddings(self, fingerprint: str, sha256s: Sequence[str], dimension: int) -> NDArray[np.float32]:
        """Return the (N, D) vectors of (N,) photos that `list_embedded` names, in that order.

        Raises:
            IndexDirectoryError: an embedding is damaged or missing.
        """
        row_by_sha256 = {sha256: row for row, sha256 in enumerate(sha256s)}
        vectors = np.empty((len(sha256s), dimension), np.float32)
        found = 0
        with self._explain():
            for marks, values in _split(sha256s):
                rows = self._connection.execute(
                    "SELECT photo_sha256, vector, checksum FROM embeddings "  # noqa: S608 - only ? marks are added
                    f"WHERE fingerprint = ? AND photo_sha256 IN ({marks})",
                    (fingerprint, *values),
                )
                for sha256, data, checksum in rows:
                    if len(data) != 4 * dimension or checksum != _checksum(sha256, fingerprint, data):
                        raise self._call_damaged(f"the embedding of photo {sha256[:12]}")
                    vectors[row_by_sha256[sha256]] = np.frombuffer(data, "<f4")
                    found += 1
        if found < len(sha256s):
            # `list_embedded` promised them: the table and its index, which that one reads, disagree.
            raise self._call_damaged(
                f"{len(sha256s) - found} of {len(sha256s)} photos have no embedding by {fingerprint[:12]}"
            )
        return vectors

    def drop_embeddings(self, kept: Mapping[str, Collection[str]]) -> int:
        """Drop every embedding that isn't named, give the room back to the disk, and return how many those were.

        Args:
            kept: by fingerprint, the sha256 of the photos whose embeddings stay.
        """
        with self._transaction():
            rows = self._connection.execute("SELECT fingerprint, photo_sha256 FROM embeddings").fetchall()
            stay = {fingerprint: set(sha256s) for fingerprint, sha256s in kept.items()}
            dropped = [row for row in rows if row[1] not in stay.get(row[0], ())]
            self._connection.executemany("DELETE FROM embeddings WHERE fingerprint = ? AND photo_sha256 = ?", dropped)
        if dropped:
            with self._explain():
                self._connection.execute("VACUUM")
        return len(dropped)

    def read_hashes(self) -> dict[str, HashedFile]:
        """Return what is known of files, by their path within the gallery."""
        hashes = {}
        with self._explain():
            for path, size, mtime_ns, ctime_ns, sha256, checksum in self._connection.execute("SELECT * FROM files"):
                if checksum != _checksum(path, size, mtime_ns, ctime_ns, sha256):
                    raise self._call_damaged(f"the row of file {path}")
                hashes[path] = HashedFile(FileStamp(size, mtime_ns, ctime_ns), sha256)
        return hashes

    def remember_hashes(self, hashes: Mapping[str, HashedFile]) -> None:
        """Keep the sha256 of files by path."""
        rows = []
        for path, file in hashes.items():
            values = (path, *astuple(file.stamp), file.sha256)
            rows.append((*values, _checksum(*values)))
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget_files(self, paths: Collection[str]) -> None:
        """Drop what is known of files that are gone."""
        with self._transaction():
            self._connection.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def read_entries(self) -> list[Entry]:
        """Return the entries of the gallery as last built, by sha256."""
        with self._explain():
            rows = self._connection.execute("SELECT * FROM entries ORDER BY sha256").fetchall()
        names = ("sha256", "family", "path", "group", "species", "source", "license", "credit")
        return [Entry(**dict(zip(names, row, strict=True))) for row in rows]

    def read_skipped(self) -> list[SkippedPhoto]:
        """Return what the last build left out, by path."""
        with self._explain():
            rows = self._connection.execute("SELECT path, reason, message FROM skipped ORDER BY path").fetchall()
        return [SkippedPhoto(path=path, reason=reason, message=message) for path, reason, message in rows]

    def replace_gallery(self, entries: Iterable[Entry], skipped: Iterable[SkippedPhoto]) -> None:
        """Put these entries and skipped photos in place of the former, in one step."""
        columns = [(e.sha256, e.family, e.path, e.group, e.species, e.source, e.license, e.credit) for e in entries]
        with self._transaction():
            self._connection.execute("DELETE FROM entries")
            self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", columns)
            self._connection.execute("DELETE FROM skipped")
            self._connection.executemany(
                "INSERT INTO skipped VALUES (?, ?, ?)", [(s.path, s.reason, s.message) for s in skipped]
            )

    def verify(self) -> None:
        """Check every page and every row; raises IndexDirectoryError at the first damage."""
        with self._explain():
            (finding,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if finding != "ok":
                raise self._call_damaged(finding)
            for sha256, fingerprint, data, checksum in self._connection.execute("SELECT * FROM embeddings"):
                if checksum != _checksum(sha256, fingerprint, data):
                    raise self._call_damaged(f"the embedding of photo {sha256[:12]}")
        self.read_hashes()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _check(self) -> None:
        """See that the file is a catalog or empty, and whole as far as SQLite can tell."""
        (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if (application_id, version, tables) == (0, 0, 0):
            return
        if application_id != APPLICATION_ID:
            raise IndexDirectoryError(
                f"{self._path} belongs to another application, expected a catalog of beedex; "
                "choose another index directory"
            )
        if version != SCHEMA_VERSION:
            raise IndexDirectoryError(
                f"{self._path} was written by another version of beedex, expected schema version {SCHEMA_VERSION}, "
                f"received {version}; build into another index directory or use that version"
            )
        (finding,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            raise self._call_damaged(finding)

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Each commit reaches the disk: what was reported as kept stays so when the machine loses power.
        self._connection.execute("PRAGMA synchronous = FULL")
        (tables,) = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if tables == 0:
            with self._transaction():
                for statement in CREATE_TABLES:
                    self._connection.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explain():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise IndexDirectoryError(
                f"{self._path} can't be opened, read or written: {error}; look for a missing directory, missing "
                "permissions or a full disk; what was committed before is kept"
            ) from error
        # The text decoder of damaged strings raises the second one in some releases of Python.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._call_damaged(str(error)) from error

    def _call_damaged(self, finding: str) -> IndexDirectoryError:
        return IndexDirectoryError(
            f"{self._path} is damaged or no catalog: {finding}; move it away and build again, which embeds every "
            "photo anew; published snapshots don't need it"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checksum(*values: str | int | bytes) -> int:
    checksum = 0
    for value in values:
        data = value if isinstance(value, bytes) else f"{value}\0".encode()
        checksum = zlib.crc32(data, checksum)
    return checksum


def _split(values: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield pieces that fit into one statement, each with its question marks."""
    for start in range(0, len(values), PARAMETERS_PER_STATEMENT):
        piece = values[start : start + PARAMETERS_PER_STATEMENT]
        yield ",".join("?" * len(piece)), piece
