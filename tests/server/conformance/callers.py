"""Calling any RPC and noting what it ends in."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from tests.server.conformance.contract import Outcome, read_contract
from tests.server.refusals import Refusal, read_refusal, read_status

from beedex.v1 import embedding_pb2, index_pb2, search_pb2

METHODS, DOCUMENTED = read_contract()

TIMEOUT_S = 30


def list_replies():
    """The class of each RPC's replies."""
    services = [
        service
        for module in (embedding_pb2, search_pb2, index_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    return {
        method.name: message_factory.GetMessageClass(method.output_type)
        for service in services
        for method in service.methods
    }


REPLIES: dict[str, Any] = list_replies()


@dataclass
class Notes:
    """Every way in which a call or an item has ended otherwise than well, with the first example."""

    seen: dict[Outcome, Refusal] = field(default_factory=dict)

    def add(self, rpc: str, refusal: Refusal, *, of_item: bool = False) -> None:
        self.seen.setdefault(Outcome(rpc, refusal.code.name, refusal.reason, of_item), refusal)

    def has(self, reason: str) -> bool:
        return any(outcome.reason == reason for outcome in self.seen)


class Caller:
    """Makes calls over one channel."""

    def __init__(self, channel: grpc.aio.Channel, notes: Notes) -> None:
        self._channel, self._notes = channel, notes

    async def call(self, rpc: str, *requests: Any, **how: Any) -> None:
        """Call *rpc* with one message, or a stream of them, to its end; bytes are sent as they are."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.receive(rpc, self.start(rpc, requests, **how))

    async def call_every(self, requests: dict[str, Any], **how: Any) -> None:
        """Call every RPC that *requests* names, all at once."""
        await asyncio.gather(*(self.call(rpc, request, **how) for rpc, request in requests.items()))

    async def cancel(self, rpc: str, request: Any) -> None:
        """Call *rpc* and take it back."""
        call = self.start(rpc, [request])
        call.cancel()
        self._notes.add(rpc, Refusal(await call.code()))

    def start(self, rpc: str, requests: Iterable[Any] | AsyncIterator[Any], **how: Any) -> Any:
        """Return a call that has begun."""
        method = METHODS[rpc]
        make = getattr(self._channel, method.kind)(
            method.path,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=REPLIES[rpc].FromString,
        )
        if isinstance(requests, AsyncIterator):
            return make(requests, **how)
        return make(iter(requests) if method.request_streaming else next(iter(requests)), **how)

    async def receive(self, rpc: str, call: Any) -> None:
        """Note what a call and its items end in."""
        try:
            if not METHODS[rpc].response_streaming:
                self._note_items(rpc, await call)
                return
            async for reply in call:
                self._note_items(rpc, reply)
        except grpc.aio.AioRpcError as error:
            self._notes.add(rpc, read_refusal(error))

    def _note_items(self, rpc: str, reply: Any) -> None:
        for item in getattr(reply, "outcomes", [reply]):
            if "error" in item.DESCRIPTOR.fields_by_name and item.HasField("error"):
                self._notes.add(rpc, read_status(item.error), of_item=True)


@dataclass(frozen=True)
class Rig:
    """What the situations have at hand.

    Attributes:
        serving: runs a server.
        home: a directory for what they spoil.
        gallery: of the index that is served where none is named.
        bundle: its embedder.
        notes: what the calls come to.
    """

    serving: Any
    home: Path
    gallery: Path
    bundle: Path
    notes: Notes = field(default_factory=Notes)

    @asynccontextmanager
    async def connect(self, **how):
        """A server and a caller; yields the caller, and what stops the server."""
        async with self.serving(**how) as (address, stop, _), grpc.aio.insecure_channel(address) as channel:
            yield Caller(channel, self.notes), stop
