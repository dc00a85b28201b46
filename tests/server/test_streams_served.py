"""The two streams over a wire, against a real server."""

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import numpy as np
import pytest
from tests.server.held import HeldEmbedder, hold
from tests.server.refusals import read_refusal, read_status
from tests.server.scenarios import until

from beedex.index.rebuild import build_index
from beedex.server.config import LimitsConfig
from beedex.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    types_pb2,
)

TIMEOUT_S = 30

# How much lies between server and caller at most, which gRPC otherwise measures and adapts.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))


def run(scenario) -> Any:
    """Run it to its end, after which nothing of the server's is left to do."""

    async def bounded():
        async with asyncio.timeout(TIMEOUT_S):
            result = await scenario()
        coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
        assert [each for each in coroutines if "beedex/server" in each.cr_code.co_filename] == []
        return result

    return asyncio.run(bounded())


@asynccontextmanager
async def connect(serving, *, options=None, **how):
    """A server and a channel to it; yields the channel and what stops the server."""
    async with serving(**how) as (address, stop, _), grpc.aio.insecure_channel(address, options) as channel:
        yield channel, stop


@pytest.fixture(scope="module")
def photos(tiny_gallery):
    return [path.read_bytes() for path in sorted(tiny_gallery.rglob("*.jpg"))]


def ask_to_embed(name, **what):
    return embedding_pb2.EmbedStreamRequest(correlation_id=name, request=embedding_pb2.EmbedRequest(**what))


def ask_to_identify(name, **query):
    request = search_pb2.IdentifyRequest(query=types_pb2.Query(**query), k=1)
    return search_pb2.IdentifyStreamRequest(correlation_id=name, request=request)


async def fail(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_refusal(caught.value)


async def receive(call):
    return [reply async for reply in call]


def test_a_stream_gives_what_single_calls_give(serving, photos):
    async def scenario():
        async with connect(serving) as (channel, _):
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            items = [ask_to_embed(f"{number}", photo=photo) for number, photo in enumerate(photos)]
            streamed = {reply.correlation_id: reply.result async for reply in stub.EmbedStream(iter(items))}
            single = [await stub.Embed(item.request) for item in items]
        return streamed, single

    streamed, single = run(scenario)

    assert streamed == {f"{number}": reply for number, reply in enumerate(single)}


def test_photos_vectors_and_entries_mix_and_one_bad_item_fails_alone(serving, photos):
    async def scenario():
        async with connect(serving) as (channel, _):
            search = search_pb2_grpc.SearchServiceStub(channel)
            first = await search.Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photos[0]), k=1))
            entry_id = first.neighbors[0].entry.entry_id
            vector = types_pb2.Vector(values=np.ones(32, "<f4").tobytes(), dimension=32)
            items = [
                ask_to_identify("photo", photo=photos[0]),
                ask_to_identify("bad photo", photo=b"This is a text about bees."),
                ask_to_identify("vector", vector=vector),
                ask_to_identify("entry", entry_id=entry_id),
                ask_to_identify("unknown", entry_id="0123456789abcdef"),
                search_pb2.IdentifyStreamRequest(correlation_id="nothing"),
            ]
            replies = {reply.correlation_id: reply async for reply in search.IdentifyStream(iter(items))}
        return first, replies

    first, replies = run(scenario)
    refusals = {name: read_status(reply.error) for name, reply in replies.items() if reply.HasField("error")}

    assert replies["photo"].result == first
    assert replies["vector"].result.neighbors[0].entry.entry_id
    assert replies["entry"].result.neighbors[0].entry.entry_id != first.neighbors[0].entry.entry_id
    assert {name: (refusal.code, refusal.reason) for name, refusal in refusals.items()} == {
        "bad photo": (grpc.StatusCode.INVALID_ARGUMENT, "NOT_A_PHOTO"),
        "unknown": (grpc.StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND"),
        "nothing": (grpc.StatusCode.INVALID_ARGUMENT, "SOURCE_MISSING"),
    }
    assert refusals["bad photo"].fields == ("query.photo",)


def test_each_item_is_answered_by_one_snapshot_while_others_are_published(
    serving, tiny_gallery_copy, tiny_bundle, tmp_path, photos
):
    index_dir = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, index_dir)

    def publish(suffix):
        for folder in list(tiny_gallery_copy.iterdir()):
            folder.rename(folder.with_name(f"{folder.name.partition('-')[0]}-{suffix}"))
        build_index(tiny_gallery_copy, tiny_bundle, index_dir)

    async def scenario():
        async with connect(serving, index_dir=index_dir) as (channel, _):
            call = search_pb2_grpc.SearchServiceStub(channel).IdentifyStream()
            seen: dict[int, set[str]] = {}
            number, building = 0, None
            while set(seen) != {1, 2, 3}:
                await call.write(ask_to_identify(f"{number}", photo=photos[number % len(photos)]))
                number += 1
                reply: Any = await call.read()
                seen.setdefault(reply.result.origin.snapshot, set()).update(
                    score.family for score in reply.result.families
                )
                if (building is None or building.done()) and len(seen) < 3:
                    building = asyncio.create_task(asyncio.to_thread(publish, f"{max(seen) + 1}"))
            assert building is not None
            await building
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            return seen

    names = ("amber", "blue", "clover")
    seen = run(scenario)

    assert seen[1] == set(names)
    assert seen[2] == {f"{name}-2" for name in names}
    assert seen[3] == {f"{name}-3" for name in names}


def test_a_stream_that_is_taken_back_takes_its_photos_out_of_the_lane(serving, photos):
    held, engines = HeldEmbedder(), []

    def load(config):
        engines.append(hold(held)(config))
        return engines[0]

    async def scenario():
        async with connect(serving, load=load) as (channel, _):
            call = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream()
            for number in range(4):
                await call.write(ask_to_embed(f"{number}", photo=photos[number]))
            await until(lambda: held.futures)
            call.cancel()
            await until(lambda: engines[0].lane.depth == 0)
            held.finish()
            return len(held.futures)

    assert run(scenario) == 1


def test_a_stream_whose_deadline_passes_takes_its_photos_out_of_the_lane(serving, photos):
    held, engines = HeldEmbedder(), []

    def load(config):
        engines.append(hold(held)(config))
        return engines[0]

    async def scenario():
        async with connect(serving, load=load) as (channel, _):
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            call = stub.EmbedStream(iter([ask_to_embed("late", photo=photos[0])]), timeout=0.3)
            refusal = await fail(receive(call))
            held.finish()
            await until(lambda: engines[0].lane.depth == 0)
            return refusal.code

    assert run(scenario) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_draining_answers_what_was_read_and_says_when_to_come_back(serving, photos):
    async def scenario():
        held = HeldEmbedder()
        async with connect(serving, load=hold(held)) as (channel, stop):
            call = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream()
            await call.write(ask_to_embed("first", photo=photos[0]))
            await until(lambda: held.futures)
            stop.set()
            await asyncio.sleep(0)
            held.finish()
            reply = await call.read()
            return reply, await fail(call.read())

    reply, refusal = run(scenario)

    assert reply.correlation_id == "first"
    assert reply.result.vector.dimension == 32
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert refusal.retry_after_s > 0


def test_a_caller_who_sends_and_never_reads_loses_its_place(serving):
    # The requests fit into the small window, their replies don't.
    vector = types_pb2.Vector(values=np.ones(32, "<f4").tobytes(), dimension=32)
    request = search_pb2.IdentifyRequest(query=types_pb2.Query(vector=vector), k=18)
    patient = search_pb2.IdentifyStreamRequest(request=request)

    async def scenario():
        limits = LimitsConfig(max_idle_s=0.5, max_streams=1)
        async with connect(serving, options=SMALL_WINDOW, limits=limits) as (channel, _):
            stub = search_pb2_grpc.SearchServiceStub(channel)
            greedy = stub.IdentifyStream()
            for _ in range(300):
                await greedy.write(search_pb2.IdentifyStreamRequest(request=request))
            await greedy.read()
            # There is one place, which is free when the server has given up on the one who doesn't read.
            replies: list[search_pb2.IdentifyStreamResponse] = []
            while not replies:
                with suppress(grpc.aio.AioRpcError):
                    replies = await receive(stub.IdentifyStream(iter([patient])))
            read, refusal = 1, None
            while refusal is None:
                try:
                    await greedy.read()
                    read += 1
                except grpc.aio.AioRpcError as error:
                    refusal = read_refusal(error)
            return replies, read, refusal

    replies, read, refusal = run(scenario)

    assert len(replies[0].result.neighbors) == 18
    assert read < 300
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")


def test_bytes_that_are_no_message_end_the_stream_as_invalid(serving, photos):
    async def scenario():
        async with connect(serving) as (channel, _):
            call = channel.stream_stream("/beedex.v1.EmbeddingService/EmbedStream")()
            await call.write(ask_to_embed("good", photo=photos[0]).SerializeToString())
            answer: Any = await call.read()
            good = embedding_pb2.EmbedStreamResponse.FromString(answer)
            await call.write(b"\xff\xff\xff")
            return good.correlation_id, await fail(call.read())

    name, refusal = run(scenario)

    assert name == "good"
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
