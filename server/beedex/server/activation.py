"""Choosing which snapshot is served: checked as the server would load it, then pointed at, then served."""

import asyncio
from pathlib import Path

from beedex.index.embedder import Embedder
from beedex.index.embedders import locate_embedder
from beedex.index.errors import BeedexError, BundleError, IndexDirectoryError, SnapshotError
from beedex.index.overview import SnapshotState, describe_snapshots
from beedex.index.snapshots import activate_snapshot, load_manifest
from beedex.index.versions import find_earlier, list_snapshots
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine
from beedex.server.errors import IndexUnusableError, SnapshotNotFoundError
from beedex.server.following import Follower

__all__ = ["Activation"]


class Activation:
    """The snapshots of the server's index.

    Args:
        config: names the index, and says how an embedder is run.
        follower: serves what the index points at.
    """

    def __init__(self, config: ServerConfig, follower: Follower) -> None:
        self._index_dir, self._threads = config.index_dir, config.lane.threads
        self._follower = follower

    async def list(self) -> list[SnapshotState]:
        """Return every snapshot that is on the disk, oldest first.

        Raises:
            IndexUnusableError: the index directory can't be read.
        """
        try:
            return await asyncio.to_thread(describe_snapshots, self._index_dir)
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error

    async def activate(self, version: int, engine: Engine) -> None:
        """Serve a snapshot in place of *engine*; one that can't be served is refused before anything changes.

        Raises:
            SnapshotNotFoundError: there is no such snapshot.
            IndexUnusableError: it or its embedder is damaged, or the index can't be read or written.
        """
        await asyncio.to_thread(self._point, version, engine)
        await self._follower.look()

    async def roll_back(self, engine: Engine) -> None:
        """Serve the snapshot before the current one in place of *engine*; raises as `activate` does."""
        await asyncio.to_thread(self._point_at_earlier, engine)
        await self._follower.look()

    def _point_at_earlier(self, engine: Engine) -> None:
        try:
            earlier = find_earlier(self._index_dir)
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error
        if earlier is None:
            raise IndexUnusableError(
                "there is no snapshot before the current one to roll back to; ListSnapshots tells what there is",
                reason="NO_EARLIER_SNAPSHOT",
            )
        self._point(earlier, engine)

    def _point(self, version: int, engine: Engine) -> None:
        try:
            known = list_snapshots(self._index_dir)
            if version not in known:
                raise SnapshotNotFoundError(
                    f"there is no snapshot {version}; the snapshots here are: {', '.join(map(str, known)) or 'none'}",
                    reason="SNAPSHOT_NOT_FOUND",
                    values={"version": version},
                    field="version",
                )
            fingerprint = load_manifest(self._index_dir, version).fingerprint
            if fingerprint != engine.fingerprint:
                _try_embedder(self._index_dir, fingerprint, self._threads)
            # It is read whole and checked before the pointer moves.
            activate_snapshot(self._index_dir, version)
        except (SnapshotError, BundleError) as error:
            raise _refuse(error, "SNAPSHOT_UNUSABLE") from error
        except IndexDirectoryError as error:
            raise _refuse_index(error) from error


def _try_embedder(index_dir: Path, fingerprint: str, threads: int | None) -> None:
    """See that an embedder can be run; raises BundleError if it can't."""
    Embedder.load(locate_embedder(index_dir, fingerprint), threads=threads).close()


def _refuse_index(error: BeedexError) -> IndexUnusableError:
    return _refuse(error, "INDEX_UNUSABLE")


def _refuse(error: BeedexError, reason: str) -> IndexUnusableError:
    return IndexUnusableError(str(error), reason=reason)
