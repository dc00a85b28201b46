"""Choosing which snapshot is served: checked as the server would load it, then pointed at, then served."""

import asyncio
from collections.abc import Callable
from functools import partial

from beedex.index.errors import (
    BeedexError,
    BundleError,
    FingerprintMismatchError,
    IndexDirectoryError,
    SnapshotError,
)
from beedex.index.overview import SnapshotState, describe_snapshots
from beedex.index.versions import explain_os_errors, find_earlier, hold_pointer, list_snapshots, point_at
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine
from beedex.server.errors import IndexUnusableError, SnapshotNotFoundError
from beedex.server.upkeep.following import Follower

__all__ = ["Activation"]


class Activation:
    """The snapshots of the server's index.

    Args:
        config: names the index.
        follower: opens snapshots, and serves what the index points at.
    """

    def __init__(self, config: ServerConfig, follower: Follower) -> None:
        self._index_dir, self._follower = config.index_dir, follower

    async def list(self) -> list[SnapshotState]:
        """Return every snapshot that is on the disk, oldest first.

        Raises:
            IndexUnusableError: the index directory can't be read.
        """
        try:
            return await asyncio.to_thread(describe_snapshots, self._index_dir)
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error

    async def activate(self, version: int) -> None:
        """Serve a snapshot; one that can't be served is refused before anything changes.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            IndexUnusableError: it or its embedder is damaged, or the index can't be read or written.
        """
        await self._turn(partial(self._point, version))

    async def roll_back(self) -> None:
        """Serve the snapshot before the current one; raises as `activate` does."""
        await self._turn(self._point_at_earlier)

    async def _turn(self, point: Callable[[], Engine]) -> None:
        await self._follower.turn(point)
        if self._follower.problem:
            raise IndexUnusableError(self._follower.problem, reason="INDEX_UNUSABLE")

    def _point_at_earlier(self) -> Engine:
        try:
            earlier = find_earlier(self._index_dir)
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error
        if earlier is None:
            raise IndexUnusableError(
                "there is no snapshot before the current one to roll back to; ListSnapshots tells what there is",
                reason="NO_EARLIER_SNAPSHOT",
            )
        return self._point(earlier)

    def _point(self, version: int) -> Engine:
        try:
            known = list_snapshots(self._index_dir)
            if version not in known:
                raise SnapshotNotFoundError(
                    f"there is no snapshot {version}; the snapshots here are: {', '.join(map(str, known)) or 'none'}",
                    reason="SNAPSHOT_NOT_FOUND",
                    values={"version": version},
                    field="version",
                )
            with explain_os_errors(self._index_dir, "written"), hold_pointer(self._index_dir):
                # It is whole and its embedder was run before the pointer moves.
                engine = self._follower.prepare(version)
                point_at(self._index_dir, version)
        except (SnapshotError, BundleError, FingerprintMismatchError) as error:
            raise _refuse(error, "SNAPSHOT_UNUSABLE") from error
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error
        return engine


def _refuse_index(error: BeedexError) -> IndexUnusableError:
    return _refuse(error, "INDEX_UNUSABLE")


def _refuse(error: BeedexError, reason: str) -> IndexUnusableError:
    return IndexUnusableError(str(error), reason=reason)
