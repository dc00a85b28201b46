"""Situations that servers get into: loading, crowded, broken, spoilt, going down."""

import asyncio
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tests.server.conformance import asking
from tests.server.conformance.asking import PHOTO, STREAM_ITEMS, ask_every, ask_some
from tests.server.conformance.callers import Caller, Notes, Rig
from tests.server.conformance.manners import take_until_none
from tests.server.held import HeldEmbedder
from tests.server.scenarios import until

from beedex.index.entries import Entry
from beedex.index.publishing import publish_snapshot
from beedex.index.rebuild import build_index
from beedex.index.versions import hold_pointer, locate_snapshot
from beedex.server.calls.work import CURRENT_CALL
from beedex.server.engine import Engine, open_engine
from beedex.server.errors import InvalidRequestError
from beedex.server.lane.lane import EmbeddingLane
from beedex.v1 import index_pb2

LOOK_UPS = ("Embed", "Identify", "SearchNeighbors")
ROOMY = 64


def copy_index(rig: Rig, *, versions: int = 1) -> Path:
    """Return an index to be spoilt; its gallery lies beside it."""
    home = Path(tempfile.mkdtemp(dir=rig.home))
    gallery = shutil.copytree(rig.gallery, home / "gallery")
    for number in range(versions):
        (gallery / f"amber/new_{number}.png").write_bytes(PHOTO + bytes(number + 1))
        build_index(gallery, rig.bundle, home / "index")
    return home / "index"


async def have_nothing_to_serve(rig: Rig) -> None:
    """A server that loads, and one that waits for its index."""
    may_load = threading.Event()

    def load(config: Any) -> Engine:
        may_load.wait()
        return open_engine(config)

    async with rig.connect(load=load, wait_until="bound") as (caller, _):
        await caller.call_every(ask_every())
        may_load.set()
    (rig.home / "empty").mkdir()
    how = {"index_dir": rig.home / "empty", "wait_for_index": True, "wait_until": "bound"}
    async with rig.serving(**how) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
        looked = Notes()
        while not looked.has("NO_INDEX"):
            await Caller(channel, looked).call("GetStatus", index_pb2.GetStatusRequest())
        await Caller(channel, rig.notes).call_every(ask_every())


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def hold_lane(rig: Rig, *, capacity: int):
    """A server whose embedder is busy with a photo; yields a caller, the lane, its embedder and its clock."""
    held, clock, lanes = HeldEmbedder(), Clock(), []

    def load(config: Any) -> Engine:
        engine = open_engine(config)
        lanes.append(EmbeddingLane(engine.decoder, held, capacity=capacity, clock=clock))
        return replace(engine, lane=lanes[0])

    async with rig.connect(load=load, index_dir=copy_index(rig)) as (caller, _):
        first = asyncio.create_task(caller.call("Embed", asking.embed(photo=PHOTO)))
        await until(lambda: held.futures)
        yield caller, lanes[0], held, clock
        if not held.futures[-1].done():
            held.finish()
        await first


def _holds(held: HeldEmbedder, number: int) -> bool:
    return len(held.futures) == number


async def crowd_the_lane(rig: Rig) -> None:
    """A lane that is full, one whose turns come too late, and photos whose deadline passes in the line."""
    async with hold_lane(rig, capacity=1) as (caller, _, _, _):
        await caller.call_every(ask_some(*LOOK_UPS))
    async with hold_lane(rig, capacity=ROOMY) as (caller, _, held, clock):
        embedding = []
        for number in range(2, 17):
            # Each seems to take much longer than those before.
            task = asyncio.create_task(caller.call("Embed", asking.embed(photo=PHOTO)))
            embedding.append(task)
            clock.now_s += 1000
            held.finish()
            await until(partial(_holds, held, number))
        await caller.call_every(ask_some(*LOOK_UPS), timeout=4)
        held.finish()
        await asyncio.gather(*embedding)
    async with hold_lane(rig, capacity=ROOMY) as (caller, lane, held, clock):
        requests = ask_some(*LOOK_UPS, *STREAM_ITEMS, "UpsertEntries")
        waiting = asyncio.create_task(caller.call_every(requests, timeout=25))
        await until(lambda: lane.depth + lane._line.waiting_items == 1 + len(requests))
        clock.now_s += 1000
        held.finish()
        await waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class FailingEngine(Engine):
    """An engine that fails in every call, and lets the server follow its index."""

    fail: Callable[[], Exception]

    @property
    def fingerprint(self) -> str:
        """Asked for by every call."""
        if CURRENT_CALL.get() is not None:
            raise self.fail()
        return self.searcher.fingerprint


def load_failing(fail: Callable[[], Exception]) -> Callable[[Any], Engine]:
    def load(config: Any) -> Engine:
        engine = open_engine(config)
        return FailingEngine(**{part.name: getattr(engine, part.name) for part in fields(engine)}, fail=fail)

    return load


class Poison:
    """What can't even be told."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class BrokenEmbedder:
    """Fails on every photo."""

    parallelism = 1

    def submit(self, image: Any) -> Any:
        raise ZeroDivisionError(image)


async def be_broken(rig: Rig) -> None:
    """Faults of the server: in every call, in the streams themselves, and in single entries."""
    async with rig.connect(load=load_failing(ZeroDivisionError)) as (caller, _):
        await caller.call_every(ask_every())
    poisoned = InvalidRequestError("no", reason="SOURCE_MISSING", values={"received": Poison()})
    async with rig.connect(load=load_failing(lambda: poisoned)) as (caller, _):
        await caller.call_every(ask_some(*STREAM_ITEMS))
    engines: list[Engine] = []

    def load(config: Any) -> Engine:
        engine = open_engine(config)
        engines.append(replace(engine, lane=EmbeddingLane(engine.decoder, BrokenEmbedder(), capacity=ROOMY)))
        return engines[0]

    async with rig.connect(load=load, index_dir=copy_index(rig)) as (caller, _):
        await caller.call("UpsertEntries", asking.upsert({"photo": PHOTO, "family": "amber"}))
        engines[0].searcher.snapshot.entries._connection.close()
        await caller.call("DeleteEntries", asking.delete(asking.UNKNOWN_ENTRY))


async def lose_the_index(rig: Rig) -> None:
    """A snapshot that is damaged, a pointer that can't be read or written, a photo without its gallery."""
    index_dir = copy_index(rig, versions=2)
    vectors = locate_snapshot(index_dir, 1) / "vectors.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-8])
    photo = min((index_dir.parent / "gallery").rglob("*.jpg")).read_bytes()
    async with rig.connect(index_dir=index_dir) as (caller, _):
        await caller.call("GetPhoto", asking.show(hashlib.sha256(photo).hexdigest()[:16]))
        await caller.call("ActivateSnapshot", asking.activate(1))
        await caller.call("RollbackSnapshot", index_pb2.RollbackSnapshotRequest())
        (index_dir / "CURRENT").unlink()
        (index_dir / "CURRENT").mkdir()
        await caller.call("ActivateSnapshot", asking.activate(2))
        await caller.call_every(ask_some("RollbackSnapshot", "ListSnapshots", "UpsertEntries", "DeleteEntries"))


async def hold_a_double(rig: Rig) -> None:
    """An index of one entry, which has the id of another photo."""
    index_dir = copy_index(rig)
    sha256 = hashlib.sha256(PHOTO).hexdigest()[:16] + "0" * 48
    (embedder,) = (index_dir / "embedders").iterdir()
    publish_snapshot(
        index_dir,
        entries=[Entry(sha256=sha256, family="amber", path="bee.png")],
        vectors=np.eye(1, 32, dtype=np.float32),
        fingerprint=embedder.name,
    )
    lonely = asking.identify(entry_id=sha256[:16])
    async with rig.connect(index_dir=index_dir) as (caller, _):
        await caller.call("Identify", lonely)
        await caller.call("IdentifyStream", asking.in_stream("IdentifyStream", lonely))
        await caller.call("UpsertEntries", asking.upsert({"photo": PHOTO, "family": "amber"}))


async def build_and_go_down(rig: Rig) -> None:
    """A gallery that is none, and a server that goes down while a build is under way and streams are open."""
    (rig.home / "no-photos").mkdir()
    async with rig.connect(gallery_dir=rig.home / "no-photos") as (caller, _):
        await caller.call("Rebuild", index_pb2.RebuildRequest())
    index_dir = copy_index(rig)
    gallery = index_dir.parent / "gallery"
    (gallery / "amber/last.png").write_bytes(PHOTO + b"last")
    # It gets everything done but publishing.
    with hold_pointer(index_dir):
        async with rig.connect(index_dir=index_dir, gallery_dir=gallery) as (caller, stop):
            calls = [(rpc, caller.start(rpc, take_until_none(asyncio.Queue()))) for rpc in STREAM_ITEMS]
            # Whichever of the two comes second is refused.
            calls += [("Rebuild", caller.start("Rebuild", [index_pb2.RebuildRequest()])) for _ in range(2)]
            receiving = [asyncio.create_task(caller.receive(rpc, call)) for rpc, call in calls]
            await until(lambda: rig.notes.has("BUILD_RUNNING"))
            stop.set()
            await asyncio.gather(*receiving)
