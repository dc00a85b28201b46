"""The snapshots of an index, and which of them is served."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from beedex.client._results.result import Answer, Result
from beedex.client._results.rows import Rows

__all__ = ["Activation", "Snapshots", "StoredSnapshot"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class StoredSnapshot(Result):
    """A snapshot on the server's disk.

    Attributes:
        version: counts up with each build of the index.
        is_current: whether it is the one that the index points at.
        damage: why it can't be read; empty if it can. The fields below are empty then.
        fingerprint: of the embedder that made its vectors, 64 hex digits.
        entries: how many photos are indexed.
        families: how many families they have.
        index_kind: how it is searched.
        created_at: when it was built, in UTC; None of a damaged one.
    """

    version: int
    is_current: bool
    damage: str
    fingerprint: str
    entries: int
    families: int
    index_kind: str
    created_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Snapshots(Rows[StoredSnapshot]):
    """The snapshots that can be activated: a sequence of `StoredSnapshot`, oldest first."""

    ROWS_KEY: ClassVar[str] = "snapshots"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Activation(Answer):
    """Another snapshot is served: the one that `snapshot` tells.

    Attributes:
        former_snapshot: the version that was served before.
    """

    former_snapshot: int
