"""Situations that callers bring about: bad requests, false expectations, no token, no patience."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
from tests.server.conformance import asking
from tests.server.conformance.asking import PHOTO, STREAM_ITEMS, ask_every
from tests.server.conformance.callers import DOCUMENTED, METHODS, Caller, Rig
from tests.server.conformance.contract import Outcome

from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, hash_token
from beedex.server.calls.queries import MOST_FAMILIES
from beedex.server.config import AccessConfig, LimitsConfig
from beedex.v1 import index_pb2, types_pb2

SMALL = LimitsConfig(max_photo_bytes=asking.MAX_PHOTO_BYTES, max_streams=1, max_stream_items=2, max_entries=2)

# More than the 16 kB of metadata and the bytes of a message that servers take.
HUGE_HEADER = ("x-huge", "x" * 32 * 1024)
TOO_MANY_BYTES = asking.MAX_PHOTO_BYTES + 2 * 1024 * 1024

NO_TIME_S = 1e-9


async def ask_for_what_is_not(rig: Rig) -> None:
    """Photos, vectors and ids that are none."""
    async with rig.connect(limits=SMALL) as (caller, _):
        for photo in asking.BAD_PHOTOS:
            await ask_with(caller, photo=photo)
            await caller.call("UpsertEntries", asking.upsert({"photo": photo, "family": "amber"}))
        for vector in asking.BAD_VECTORS:
            await look_up(caller, vector=vector)
        for entry_id in asking.BAD_IDS:
            await ask_with(caller, entry_id=entry_id)
            await caller.call("UpsertEntries", asking.upsert({"entry_id": entry_id}))
            await caller.call("DeleteEntries", asking.delete(entry_id))
            await caller.call("GetPhoto", asking.show(entry_id))
        await ask_with(caller)
        await look_up(caller, photo=PHOTO, k=0)


async def ask_with(caller: Caller, **source: Any) -> None:
    """Every RPC that embeds or looks up."""
    request = asking.embed(**source)
    await caller.call("Embed", request)
    await caller.call("EmbedStream", asking.in_stream("EmbedStream", request))
    await look_up(caller, **source)


async def look_up(caller: Caller, **query: Any) -> None:
    request = asking.identify(**query)
    await caller.call("Identify", request)
    await caller.call("IdentifyStream", asking.in_stream("IdentifyStream", request))
    await caller.call("SearchNeighbors", asking.search(**query))


async def ask_for_too_much(rig: Rig) -> None:
    """Numbers out of range, texts and lists that are too long or empty."""
    async with rig.connect(limits=SMALL) as (caller, _):
        await caller.call("SearchNeighbors", asking.search(photo=PHOTO, families=["amber"] * (MOST_FAMILIES + 1)))
        await caller.call("GetPhoto", asking.show(asking.UNKNOWN_ENTRY, max_side_px=15))
        await caller.call("ActivateSnapshot", asking.activate(0))
        await caller.call("ActivateSnapshot", asking.activate(7))
        await caller.call("RollbackSnapshot", index_pb2.RollbackSnapshotRequest())
        await caller.call("Rebuild", index_pb2.RebuildRequest())
        for count in (0, 3):
            await caller.call("UpsertEntries", asking.upsert(*[{}] * count))
            await caller.call("DeleteEntries", asking.delete(*[""] * count))
        await caller.call("UpsertEntries", asking.upsert({}, {"photo": PHOTO}))
        await caller.call("UpsertEntries", asking.upsert({"photo": PHOTO, "family": "a\nb"}))
        for rpc, make in STREAM_ITEMS.items():
            await caller.call(rpc, make(correlation_id="x" * 129))
            await caller.call(rpc, make(), make(), make())


async def rely_on_others(rig: Rig) -> None:
    """Another embedder, another snapshot."""
    async with rig.connect() as (caller, _):
        for expectation in (types_pb2.Expectation(fingerprint="f" * 64), types_pb2.Expectation(snapshot=7)):
            await caller.call_every(ask_every(expectation))


async def break_the_rules_of_grpc(rig: Rig) -> None:
    """Bytes that are no message, messages and metadata that are too large, no time, no waiting, no server."""
    async with rig.connect(limits=SMALL) as (caller, _):
        for rpc in METHODS:
            await caller.call(rpc, b"\xff\xff\xff")
        await caller.call_every(ask_every(), timeout=-1)
        await caller.call_every(ask_every(), metadata=(HUGE_HEADER,))
        await ask_with(caller, photo=bytes(TOO_MANY_BYTES))
        await caller.call("UpsertEntries", asking.upsert({"photo": bytes(TOO_MANY_BYTES)}))
    async with rig.serving(gallery_dir=rig.gallery) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
        for rpc, request in ask_every().items():
            await Caller(channel, rig.notes).cancel(rpc, request)
    async with grpc.aio.insecure_channel(address) as channel:
        await Caller(channel, rig.notes).call_every(ask_every())


async def be_nobody(rig: Rig) -> None:
    """No token, an unknown one, and one of too small a role."""
    tokens = rig.home / "tokens"
    tokens.write_text(Holder(name="bob", role=Role.READER, digest=hash_token("bobs")).line + "\n")
    tokens.chmod(0o600)
    admins = [rpc for rpc in METHODS if Outcome(rpc, "PERMISSION_DENIED", "ROLE_MISSING") in DOCUMENTED]
    async with rig.connect(access=AccessConfig(tokens=tokens)) as (caller, _):
        await caller.call_every(ask_every())
        await caller.call_every(ask_every(), metadata=(("authorization", "Bearer mallorys"),))
        await caller.call_every(asking.ask_some(*admins), metadata=(("authorization", "Bearer bobs"),))


async def be_idle(rig: Rig) -> None:
    """Streams whose caller neither sends nor takes anything in no time at all."""
    entry_id = hashlib.sha256(min(rig.gallery.rglob("*.jpg")).read_bytes()).hexdigest()[:16]
    limits = LimitsConfig(max_idle_s=NO_TIME_S)
    async with rig.connect(limits=limits, gallery_dir=rig.gallery) as (caller, _):
        await caller.call("GetPhoto", asking.show(entry_id))
        await caller.call("Rebuild", index_pb2.RebuildRequest())
        for rpc in STREAM_ITEMS:
            await caller.call(rpc)


async def open_too_many_streams(rig: Rig) -> None:
    """One more than the server takes."""
    async with rig.connect(limits=SMALL) as (caller, _):
        for rpc, make in STREAM_ITEMS.items():
            items: asyncio.Queue[Any] = asyncio.Queue()
            items.put_nowait(make())
            first = caller.start(rpc, take_until_none(items))
            replies = aiter(first)
            await anext(replies)
            await caller.call(rpc, make())
            items.put_nowait(None)
            with suppress(StopAsyncIteration):
                await anext(replies)


async def take_until_none(items: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    """Yield what is put into a queue; without anything in it, a stream that says nothing and doesn't end."""
    while (item := await items.get()) is not None:
        yield item
