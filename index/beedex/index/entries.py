"""Entries: what is known of each indexed photo, and the file of a snapshot that holds them."""

import hashlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.errors import SnapshotError

__all__ = ["ENTRY_ID_DIGITS", "Entry", "EntryTable", "digest_entries", "encode_entries", "parse_entry_id"]

# 64 bits of the photo's sha256: a million photos collide with a probability of 3e-8, and a build refuses to publish
# two photos under one id.
ENTRY_ID_DIGITS = 16

# The file's bytes must depend on the entries alone: the page size is said, and nothing in it is a time.
CREATE_TABLE = """
PRAGMA page_size = 4096;
PRAGMA encoding = 'UTF-8';
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    family TEXT NOT NULL,
    path TEXT NOT NULL,
    "group" TEXT,
    species TEXT NOT NULL,
    source TEXT NOT NULL,
    license TEXT NOT NULL,
    credit TEXT NOT NULL,
    sha256 TEXT NOT NULL
);
"""
COLUMNS = 'family, path, "group", species, source, license, credit, sha256'

# A row for each entry would be an object for each, and a server that reads a snapshot beside its requests would answer
# none of them while rows are made, and while garbage is looked for among them: of 20,000 entries, for up to 60 ms. A
# sixteenth of a family is one text, and is read in a millisecond where there are 15,000 of it.
GROUP_IDS = "SELECT family, group_concat(id) FROM entries GROUP BY family, id >> 60 ORDER BY family"

# How many entries of a table stay in memory once they were read: some 7 MB. Reading one from the file takes 4 us, and a
# search of a few thousand vectors 20.
KEPT_ENTRIES = 10_000

SELECTABLE = ("family", "path", "group", "species", "source", "license", "credit")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One indexed photo.

    Attributes:
        sha256: of the photo's bytes, 64 hex digits; the entry's ids are made of it.
        path: within the gallery, with forward slashes.
        group: photos of one animal or observation; None where the gallery doesn't say.

    Example:
        >>> entry = Entry(sha256="8" + "0" * 63, family="mason", path="mason/1.jpg")
        >>> entry.entry_id, entry.id64
        ('8000000000000000', -9223372036854775808)
    """

    sha256: str
    family: str
    path: str
    group: str | None = None
    species: str = ""
    source: str = ""
    license: str = ""
    credit: str = ""

    @property
    def entry_id(self) -> str:
        """The id that people and replies use: the first 16 hex digits of the sha256."""
        return self.sha256[:ENTRY_ID_DIGITS]

    @property
    def id64(self) -> int:
        """The id that vectors are stored under: the same bits as a signed integer."""
        return parse_entry_id(self.entry_id)


def parse_entry_id(entry_id: str) -> int:
    """Return the signed 64-bit form of an entry id.

    Raises:
        ValueError: it is not 16 lower-case hex digits.

    Example:
        >>> parse_entry_id("00000000000000ff"), parse_entry_id("fffffffffffffffe")
        (255, -2)
    """
    if len(entry_id) != ENTRY_ID_DIGITS or not set(entry_id) <= set("0123456789abcdef"):
        raise ValueError(f"an entry id is {ENTRY_ID_DIGITS} lower-case hex digits, received {entry_id!r}")
    return int.from_bytes(bytes.fromhex(entry_id), "big", signed=True)


def digest_entries(entries: Iterable[Entry]) -> str:
    """Return the sha256, as 64 hex digits, of everything the entries say, whatever their order."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.sha256):
        digest.update(json.dumps(_list_values(entry)).encode())
    return digest.hexdigest()


def encode_entries(entries: Collection[Entry]) -> bytes:
    """Return the bytes of a SQLite file with these entries; equal entries give equal bytes."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(CREATE_TABLE)
        rows = sorted((entry.id64, *_list_values(entry)) for entry in entries)
        with connection:
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return connection.serialize()
    finally:
        connection.close()


def _list_values(entry: Entry) -> tuple[str | None, ...]:
    return (
        entry.family,
        entry.path,
        entry.group,
        entry.species,
        entry.source,
        entry.license,
        entry.credit,
        entry.sha256,
    )


def _read_entry(connection: sqlite3.Connection, lock: threading.Lock, count: int, id64: int) -> Entry:
    statement = f"SELECT {COLUMNS} FROM entries WHERE id = ?"  # noqa: S608 - the columns are a constant
    with lock:
        row = connection.execute(statement, (id64,)).fetchone()
    if row is None:
        raise LookupError(f"no entry has id {id64 % 2**64:016x}, expected one of the {count} entries")
    family, path, group, species, source, license_, credit, sha256 = row
    return Entry(
        sha256=sha256,
        family=family,
        path=path,
        group=group,
        species=species,
        source=source,
        license=license_,
        credit=credit,
    )


class EntryTable:
    """The entries of a snapshot, read from its file: ids and families in memory, the rest on demand.

    Safe from any thread. The file stays readable after its directory was deleted.

    Attributes:
        ids: (N,) int64, ascending.
        families: the labels, sorted.
        family_codes: (N,) int32, where each entry's family stands in `families`.

    Raises:
        SnapshotError: the file is not one that `encode_entries` made.
    """

    def __init__(self, path: Path) -> None:
        # `immutable` spares the locks and journals of a file that never changes, so that a read-only directory will do.
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            weakref.finalize(self, self._connection.close)
            groups = self._connection.execute(GROUP_IDS).fetchall()
        except sqlite3.Error as error:
            raise SnapshotError(
                f"{path} can't be read as entries, expected a file that `beedex index build` wrote, received: {error}"
            ) from error
        self._lock = threading.Lock()
        code_by_family = {family: code for code, family in enumerate(dict.fromkeys(family for family, _ in groups))}
        self.families: tuple[str, ...] = tuple(code_by_family)
        grouped = [np.fromstring(ids, np.int64, sep=",") for _, ids in groups]
        ids = np.concatenate([np.empty(0, np.int64), *grouped])
        codes = np.repeat(
            np.array([code_by_family[family] for family, _ in groups], np.int32), [len(some) for some in grouped]
        )
        order = np.argsort(ids)
        self.ids: NDArray[np.int64] = ids[order]
        self.family_codes: NDArray[np.int32] = codes[order]
        # Not of a method: what holds itself is freed only when the garbage collector comes by.
        self._recall = lru_cache(KEPT_ENTRIES)(partial(_read_entry, self._connection, self._lock, len(ids)))

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, ids: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of (K,) ids, in that order.

        Raises:
            LookupError: an id is unknown.
        """
        return [self._recall(id64) for id64 in ids.tolist()]

    def list_families(self, ids: NDArray[np.int64]) -> list[str]:
        """Return the family of each of (K,) ids, all of which must be known."""
        codes = self.family_codes[np.searchsorted(self.ids, ids)].tolist()
        return list(map(self.families.__getitem__, codes))

    def count_families(self) -> dict[str, int]:
        """Return the number of entries by family, sorted by name."""
        counts = np.bincount(self.family_codes, minlength=len(self.families))
        return dict(zip(self.families, counts.tolist(), strict=True))

    def select_families(self, families: Collection[str]) -> NDArray[np.int64]:
        """Return the ids of the entries of these families, ascending; unknown families have none."""
        codes = [code for code, family in enumerate(self.families) if family in families]
        return self.ids[np.isin(self.family_codes, codes)]

    def select(self, **wanted: Collection[str]) -> NDArray[np.int64]:
        """Return the ids of the entries that have one of the wanted values in each of the named fields, ascending.

        The result is what a search is allowed to find; see `VectorStore.search`.

        Args:
            wanted: the values of a field of `Entry`: family, path, group, species, source, license or credit.

        Raises:
            ValueError: entries have no such field.

        Example:
            >>> table.select(species={"Osmia bicornis"}, license={"CC0", "CC-BY-4.0"})  # doctest: +SKIP
            array([-6917529027641081856,  1152921504606846976])
        """
        unknown = sorted(wanted.keys() - set(SELECTABLE))
        if unknown:
            raise ValueError(f"entries have no field {unknown[0]!r} to select by, expected {', '.join(SELECTABLE)}")
        # As JSON, the values are one parameter, however many there are; the fields are among the constants.
        conditions = [f'"{field}" IN (SELECT value FROM json_each(?))' for field in wanted]  # noqa: S608
        values = [json.dumps(sorted(of_field)) for of_field in wanted.values()]
        statement = f"SELECT id FROM entries WHERE {' AND '.join(conditions) or 'true'} ORDER BY id"  # noqa: S608
        with self._lock:
            rows = self._connection.execute(statement, values).fetchall()
        return np.array([row[0] for row in rows], np.int64)
