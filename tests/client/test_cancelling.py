"""Calls that their own side ends: by closing the client, by cancelling a stream, by cancelling a task."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from tests.client.strangers import Stranger, refuse, serve_stranger
from tests.client.waiting import settle

from beedex.client import AsyncClient, CallCancelledError, Client, ClosedClientError
from beedex.client._calls.methods import EMBED_STREAM, GET_PHOTO
from beedex.client._connections.async_connection import AsyncConnection
from beedex.client._connections.channel import ChannelConfig
from beedex.client._connections.connection import Connection
from beedex.client._relays.async_streams import END_S
from beedex.v1 import embedding_pb2, search_pb2

TIMEOUT_S = 60


@contextmanager
def hanging(stopped):
    """A server whose calls don't end before the block; yields its address and an event that says that one has come."""
    come = threading.Event()

    def answer(_request, _context):
        come.set()
        stopped.wait(TIMEOUT_S)
        yield b""

    answers = {"ListFamilies": lambda *both: next(answer(*both)), "GetPhoto": answer, "EmbedStream": answer}
    with serve_stranger(Stranger(answers)) as address:
        try:
            yield address, come
        finally:
            stopped.set()


def test_closing_a_client_ends_the_calls_of_other_threads():
    with hanging(threading.Event()) as (address, come), ThreadPoolExecutor(2) as pool:
        connection = Connection(ChannelConfig(target=address))
        client = Client(address)
        call = pool.submit(client.families)
        assert come.wait(TIMEOUT_S)
        replies = connection.open(GET_PHOTO, search_pb2.GetPhotoRequest(), connection.start(None))
        reading = pool.submit(next, replies)
        connection.close()
        client.close()

        assert type(call.exception(TIMEOUT_S)) is ClosedClientError
        assert type(reading.exception(TIMEOUT_S)) is ClosedClientError


def test_closing_a_client_ends_the_calls_of_other_tasks():
    async def scenario(address, come):
        connection = AsyncConnection(ChannelConfig(target=address))
        client = AsyncClient(address)
        call = asyncio.create_task(client.families())
        await asyncio.to_thread(come.wait, TIMEOUT_S)
        replies = await connection.open(GET_PHOTO, search_pb2.GetPhotoRequest(), connection.start(None))
        reading = asyncio.create_task(anext(replies))
        await asyncio.sleep(0)
        await client.close()
        await connection.close()
        return await asyncio.gather(call, reading, return_exceptions=True)

    with hanging(threading.Event()) as (address, come):
        assert [type(error) for error in asyncio.run(scenario(address, come))] == [ClosedClientError] * 2


def test_a_stream_that_its_reader_cancels_says_so():
    async def scenario(address):
        connection = AsyncConnection(ChannelConfig(target=address))
        replies = await connection.open(EMBED_STREAM, None, None)
        replies.cancel()
        with pytest.raises(CallCancelledError):
            await anext(replies)
        assert not await replies.write(EMBED_STREAM.request())
        await replies.done_writing()
        await connection.close()

    with hanging(threading.Event()) as (address, _):
        connection = Connection(ChannelConfig(target=address))
        replies = connection.open(GET_PHOTO, search_pb2.GetPhotoRequest(), connection.start(None))
        replies.cancel()
        with pytest.raises(CallCancelledError):
            next(replies)
        connection.close()
        asyncio.run(scenario(address))


def test_a_task_that_is_cancelled_raises_what_asyncio_wants():
    async def read(connection):
        return await anext(await connection.open(GET_PHOTO, search_pb2.GetPhotoRequest(), connection.start(None)))

    async def scenario(address, come):
        async with AsyncClient(address) as client:
            connection = AsyncConnection(ChannelConfig(target=address))
            for call in (client.families(), read(connection)):
                task = asyncio.create_task(call)
                await asyncio.to_thread(come.wait, TIMEOUT_S)
                come.clear()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await connection.close()

    with hanging(threading.Event()) as (address, come):
        asyncio.run(scenario(address, come))


def test_a_task_that_is_cancelled_while_its_last_stream_ends_leaves_nothing_running():
    stopped = threading.Event()

    def answer_and_hang(requests, _context):
        item = embedding_pb2.EmbedStreamRequest.FromString(next(requests))
        reply = embedding_pb2.EmbedStreamResponse(correlation_id=item.correlation_id)
        reply.result.SetInParent()
        yield reply.SerializeToString()
        stopped.wait(TIMEOUT_S)

    async def read(client, answered):
        async for _ in client.embed_many([b"photo"]):
            answered.set()

    async def scenario(address):
        async with AsyncClient(address) as client:
            before, answered = asyncio.all_tasks(), asyncio.Event()
            task = asyncio.create_task(read(client, answered))
            await answered.wait()
            # It is about to wait for the stream, which the server doesn't end.
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait({task})
            assert await settle(before, within_s=END_S) == set()

    with serve_stranger(Stranger({"EmbedStream": answer_and_hang})) as address:
        try:
            asyncio.run(scenario(address))
        finally:
            stopped.set()


def test_a_task_that_waits_for_a_busy_server_can_be_cancelled():
    refused = threading.Event()

    def answer(_request, context):
        refused.set()
        refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_s=20.0)

    async def scenario(address):
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.families())
            await asyncio.to_thread(refused.wait, TIMEOUT_S)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serve_stranger(Stranger({"ListFamilies": answer})) as address:
        asyncio.run(scenario(address))
