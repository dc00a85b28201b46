"""Following the index: what builds publish, operators activate and people change is served without a restart.

A request is answered by the engine that it began with, so no reply mixes two states. The new state is loaded beside the
old one, on a thread, and takes its place when it is whole; one that can't be served changes nothing but the log and
what the server tells of its index.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from beedex.index.bundle import CARD_NAME, load_bundle
from beedex.index.changes import Change, ChangeLog
from beedex.index.embedders import locate_embedder
from beedex.index.errors import BeedexError
from beedex.index.searcher import Searcher
from beedex.index.snapshots import Snapshot, load_manifest, load_snapshot
from beedex.index.versions import require_current, stamp_pointer
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine, EngineSlot, equip_engine
from beedex.server.memory import return_freed_pages
from beedex.server.upkeep.loading import LoadingThread
from beedex.server.watching.readiness import Readiness

__all__ = ["Follower"]

log = logging.getLogger(__name__)

# What a look costs is three small reads; what it saves is an operator's wait.
SECONDS_BETWEEN_LOOKS = 0.5

# To find that an index can't be served may mean to read all of it. That is repeated, since files may be mended in
# place, but takes at most a tenth of a core.
TRIES_APART = 9


class Follower:
    """Keeps the slot's engine up to date with an index.

    Args:
        config: names the index.
        slot: whose engine is replaced.
        traffic: tells when nobody uses a former embedder any more.
        readiness: is told when the index can't be served as it is now.
        load: opens an engine for another embedder.
        thread: where engines are opened and freed.

    Attributes:
        changes: of single entries, since the last build; whoever writes one has the follower look afterwards.
    """

    def __init__(
        self,
        config: ServerConfig,
        slot: EngineSlot,
        traffic: TrafficWatch,
        readiness: Readiness,
        load: Callable[[ServerConfig], Engine],
        thread: LoadingThread,
    ) -> None:
        self._config, self._slot, self._traffic, self._readiness, self._load = config, slot, traffic, readiness, load
        self._thread = thread
        self.changes = ChangeLog(config.index_dir)
        self._state: tuple[object, ...] = ()
        self._refused_state: tuple[object, ...] | None = None
        self._next_try_s = 0.0
        self._looking = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def problem(self) -> str:
        """Why the index can't be served as it is now; empty if it is."""
        return self._readiness.problem

    async def run(self) -> None:
        """Look at the index now and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def look(self) -> None:
        """Serve the index as it is now; if it can't be served, say so once and keep the engine."""
        async with self._looking:
            await self._look()

    async def turn(self, point: Callable[[], Engine]) -> None:
        """Have another snapshot made the current one, and serve it.

        Args:
            point: makes it the current one, on a thread, and returns what `prepare` gave for it, so that nothing is
                read and compiled again.
        """
        async with self._looking:
            await self._look(prepared=await self._thread.run(point))

    def prepare(self, version: int) -> Engine:
        """Open a snapshot of the index beside what is served, with every byte checked. Blocks.

        Raises:
            SnapshotError: it is missing or damaged.
            BundleError: its embedder is.
            FingerprintMismatchError: the embedder that stands under its name is another one.
        """
        directory, engine = self._config.index_dir, self._slot.current
        snapshot = load_snapshot(directory, version)
        if snapshot.manifest.fingerprint == engine.fingerprint:
            return self._renew(engine, snapshot, [])
        bundle = load_bundle(locate_embedder(directory, snapshot.manifest.fingerprint), verify=False)
        return equip_engine(self._config, Searcher(snapshot, bundle))

    async def _look(self, *, prepared: Engine | None = None) -> None:
        engine = self._slot.current
        try:
            state = await asyncio.to_thread(self._read_state, engine)
            fresh = engine if state == self._state else await self._try(state, engine, prepared)
        except BeedexError as error:
            self._complain(str(error), engine)
            return
        if fresh is None:
            return
        if fresh.embedder is not engine.embedder:
            fresh.lane.follow(engine.lane)
        self._slot.put(fresh)
        # It was read before what it stands for: what came in between is seen by the next look.
        self._state = state
        if self._readiness.problem:
            log.info("the index can be served again")
            self._readiness.complain("")
        if fresh.searcher.snapshot is not engine.searcher.snapshot:
            log.info("serving snapshot %d now, %d before", fresh.snapshot_version, engine.snapshot_version)
            # Apart, since the work at hand may be waiting for this look.
            leaving = asyncio.create_task(self._leave([engine], is_closed=fresh.embedder is not engine.embedder))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _try(self, state: tuple[object, ...], engine: Engine, prepared: Engine | None) -> Engine | None:
        """Open the index in *state*; None if it was refused in the same state not long ago."""
        began_s = time.monotonic()
        if state == self._refused_state and began_s < self._next_try_s:
            return None
        try:
            return await self._thread.run(self._open, engine, prepared)
        except BeedexError:
            ended_s = time.monotonic()
            self._refused_state, self._next_try_s = state, ended_s + TRIES_APART * (ended_s - began_s)
            raise

    async def _leave(self, former: list[Engine], *, is_closed: bool) -> None:
        """Free the engine in the list when nobody needs it any more: on a thread, for that takes 20 ms."""
        await self._traffic.wait_for_present()
        await self._thread.run(_free, former, is_closed)

    async def close(self) -> None:
        """Close the file of changes, and wait for the engines that were left."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        # After what is being opened, which reads them.
        await self._thread.run(self.changes.close)

    def _read_state(self, engine: Engine) -> tuple[object, ...]:
        """Return what is another value when there may be something new."""
        directory = self._config.index_dir
        return (
            self.changes.version(),
            stamp_pointer(directory),
            _stamp(locate_embedder(directory, engine.fingerprint) / CARD_NAME),
        )

    def _open(self, engine: Engine, prepared: Engine | None) -> Engine:
        # Before the snapshot: a build settles changes once they are part of the current one.
        changes = [change for change in self.changes.read() if not change.is_settled]
        directory = self._config.index_dir
        manifest = load_manifest(directory, require_current(directory))
        # By the manifest and not by its number: where the newest snapshots were deleted, their numbers come again.
        if manifest == engine.searcher.snapshot.manifest:
            return self._renew(engine, engine.searcher.snapshot, changes)
        if prepared is not None and manifest == prepared.searcher.snapshot.manifest:
            return self._renew(prepared, prepared.searcher.snapshot, changes)
        if manifest.fingerprint != engine.fingerprint:
            return self._load(self._config)
        snapshot = load_snapshot(directory, manifest.version, expected_fingerprint=engine.fingerprint)
        return self._renew(engine, snapshot, changes)

    def _renew(self, engine: Engine, snapshot: Snapshot, changes: list[Change]) -> Engine:
        """Return the engine with another searcher, which reads the calibration as it is now."""
        bundle = load_bundle(locate_embedder(self._config.index_dir, engine.fingerprint), verify=False)
        return replace(engine, searcher=Searcher(snapshot, bundle, changes=changes))

    def _complain(self, complaint: str, engine: Engine) -> None:
        if complaint != self._readiness.problem:
            log.error(
                "the index changed to what can't be served; snapshot %d serves on: %s",
                engine.snapshot_version,
                complaint,
            )
        self._readiness.complain(complaint)


def _free(former: list[Engine], is_closed: bool) -> None:  # noqa: FBT001 - given by position
    """Free the engine in the list, and close it if its embedder isn't another's too."""
    if is_closed:
        former[0].close()
    former.clear()
    return_freed_pages()


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns, status.st_size)
