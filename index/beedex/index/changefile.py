"""The file of an index's changes: made whole, checked when it is opened, shared by threads and processes.

It keeps SQLite's rollback journal and not WAL: readers of a directory that they may not write to can open it.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beedex.index.durable import create_file
from beedex.index.errors import IndexDirectoryError
from beedex.index.versions import explain_os_errors

__all__ = ["ChangeFile"]

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
        gallery_family TEXT, -- at the last build; NULL: the photo was not in the gallery
        checksum INTEGER NOT NULL
    )""",
    "CREATE TABLE counter (last INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class ChangeFile:
    """The SQLite file of the changes, which need not be there. Safe from any thread, and from several processes.

    Args:
        path: the file; made by the first `write`.

    Raises:
        IndexDirectoryError: the file is damaged, of another version, or can't be read or written. Every method raises
            it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Apart, so that no search waits for a change that waits for another process.
        self._reader = _Session(path)
        self._writer = _Session(path)

    def version(self) -> tuple[int, ...]:
        """Return what is another value after every commit, in whichever process; costs one small read."""
        with self.read() as connection:
            if connection is None:
                return ()
            # SQLite counts the commits of other connections, and this one makes none.
            (data_version,) = connection.execute("PRAGMA data_version").fetchone()
            return (self._reader.openings, data_version)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection | None]:
        """Yield a connection to read from; None where there is no file yet."""
        with self._reader.lock, self._explain():
            yield self._reader.connect()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction, which is on the disk when the block has ended without an error."""
        with self._writer.lock, self._explain():
            connection = self._writer.connect()
            if connection is None:
                self._create()
                connection = self._writer.connect()
            if connection is None:
                raise self.call_damaged("it vanished as soon as it was made")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file."""
        for session in (self._reader, self._writer):
            with session.lock:
                session.close()

    def call_damaged(self, finding: str) -> IndexDirectoryError:
        """Return the error that says what is wrong with the file's content."""
        return _call_damaged(self._path, finding)

    def _create(self) -> None:
        """Make a file without changes in one step: one that is empty or half there is always a damaged one."""
        memory = sqlite3.connect(":memory:", isolation_level=None)
        try:
            for statement in CREATE_TABLES:
                memory.execute(statement)
            data = memory.serialize()
        finally:
            memory.close()
        with explain_os_errors(self._path.parent, "written"):
            create_file(self._path, data)

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
            raise self.call_damaged(str(error)) from error


class _Session:
    """A connection that is opened when it is needed, and again when another file took its file's place.

    Attributes:
        lock: to be held for every use.
        openings: how often it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.lock = threading.Lock()
        self.openings = 0

    def connect(self) -> sqlite3.Connection | None:
        """Return the connection; None where there is no file."""
        file = self._identify()
        if file != self._file:
            self.close()
        if file is not None and self._connection is None:
            self._connection = _open(self._path)
            self._file = file
            self.openings += 1
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._file = None, None

    def _identify(self) -> tuple[int, int] | None:
        with explain_os_errors(self._path.parent, "read"):
            try:
                status = self._path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return (status.st_dev, status.st_ino)


def _open(path: Path) -> sqlite3.Connection:
    # SQLite itself falls back to reading where the file can't be written. Nothing else may open the file to find that
    # out: closing it would free the locks of every connection of this process (https://sqlite.org/howtocorrupt.html).
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun by name
        check_same_thread=False,  # the session's lock is held for every use
    )
    try:
        _check(path, connection)
        # Each commit reaches the disk: what was acknowledged stays so when the machine loses power.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """See that the file is one of this version, and whole as far as SQLite can tell: pages that lost rows are not."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if (application_id, version, tables) == (0, 0, 0):
        raise _call_damaged(path, "it is empty")
    if application_id != APPLICATION_ID:
        raise IndexDirectoryError(
            f"{path} belongs to another application, expected the changes of an index; move it away"
        )
    if version != SCHEMA_VERSION:
        raise IndexDirectoryError(
            f"{path} was written by another version of beedex, expected schema version {SCHEMA_VERSION}, "
            f"received {version}; use that version"
        )
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise _call_damaged(path, finding)


def _call_damaged(path: Path, finding: str) -> IndexDirectoryError:
    return IndexDirectoryError(
        f"{path} is damaged: {finding}; move it away to go on without the entries that were put in or taken "
        "out since the last build"
    )
