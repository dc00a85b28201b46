"""The lane behind a real server: what is answered while it is stuck, and what is told of it."""

import asyncio
from dataclasses import replace
from io import BytesIO
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image
from tests.server.lane_driver import HandDriven, run

from beedex.index.embedded import EmbeddedPhoto
from beedex.server.engine import open_engine
from beedex.server.lane.lane import EmbeddingLane
from beedex.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    types_pb2,
)

DIMENSION = 32
VECTOR = types_pb2.Query(vector=types_pb2.Vector(values=np.ones(DIMENSION, "<f4").tobytes(), dimension=DIMENSION))


def draw_photo(shade):
    file = BytesIO()
    Image.new("RGB", (40, 30), (shade, 100, 50)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def stuck():
    """An inference that never ends until it is told to, and a loader of engines that use it."""
    held = HandDriven(1)

    def load(config):
        engine = open_engine(config)
        lane = EmbeddingLane(engine.decoder, held, capacity=2, cache=engine.lane.cache)
        # As if photos had taken a minute so far.
        lane._pace.work_s = 60.0
        return replace(engine, lane=lane)

    return held, load


async def fill(channel, held):
    """Let as many photos wait as the lane takes."""
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    calls: list[Any] = [stub.Embed(embedding_pb2.EmbedRequest(photo=draw_photo(shade))) for shade in range(2)]
    async with asyncio.timeout(20):
        while not held.running() or (await fetch_load(channel)).lane_depth < 2:  # noqa: ASYNC110 - the server tells only when asked
            await asyncio.sleep(0.005)
    return calls


def release(held):
    for future in held.running():
        future.set_result(EmbeddedPhoto(vector=np.ones(DIMENSION, np.float32), features=np.ones(48, np.float32)))


async def fetch_load(channel) -> Any:
    stub: Any = index_pb2_grpc.IndexServiceStub(channel)
    return (await stub.GetStatus(index_pb2.GetStatusRequest())).load


async def end(calls, held):
    while not all(call.done() for call in calls):
        release(held)
        await asyncio.sleep(0.005)


def test_vectors_and_entries_are_answered_while_the_lane_is_full_and_stuck(serving, stuck):
    held, load = stuck

    async def scenario():
        async with serving(load=load) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
            search, embedding = (
                search_pb2_grpc.SearchServiceStub(channel),
                embedding_pb2_grpc.EmbeddingServiceStub(channel),
            )
            waiting = await fill(channel, held)
            depth = (await fetch_load(channel)).lane_depth
            found = await search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=VECTOR), timeout=10)
            entry = types_pb2.Query(entry_id=found.neighbors[0].entry.entry_id)
            answers = [
                await search.Identify(search_pb2.IdentifyRequest(query=query), timeout=10) for query in (VECTOR, entry)
            ]
            stored = await embedding.Embed(embedding_pb2.EmbedRequest(entry_id=entry.entry_id), timeout=10)
            was_stuck = not any(call.done() for call in waiting)
            await end(waiting, held)
        return depth, [len(answer.neighbors) for answer in answers], stored.vector.dimension, was_stuck

    assert run(scenario) == (2, [10, 10], DIMENSION, True)


def test_what_would_come_too_late_is_refused_with_its_reason_and_a_time_to_wait(serving, stuck):
    held, load = stuck

    async def scenario():
        async with serving(load=load) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            waiting: list[Any] = [stub.Embed(embedding_pb2.EmbedRequest(photo=draw_photo(0)))]
            async with asyncio.timeout(20):
                while not held.running():  # noqa: ASYNC110 - what is waited for happens on other threads
                    await asyncio.sleep(0.005)
            expected_s = (await fetch_load(channel)).expected_wait_s
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Embed(embedding_pb2.EmbedRequest(photo=draw_photo(1)), timeout=10)
            await end(waiting, held)
        error: Any = caught.value
        return error, expected_s

    error, expected_s = run(scenario)
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    _ = [detail.Unpack(info) or detail.Unpack(retry) for detail in status.details]

    assert expected_s > 60
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DEADLINE_TOO_NEAR")
    assert 50 < retry.retry_delay.ToTimedelta().total_seconds() < 90


def test_a_photo_that_comes_again_is_answered_while_the_lane_is_full_and_stuck(serving, stuck):
    held, load = stuck

    async def scenario():
        async with serving(load=load) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            known = embedding_pb2.EmbedRequest(photo=draw_photo(200))
            first: Any = stub.Embed(known)
            await end([first], held)
            waiting = await fill(channel, held)
            again = await stub.Embed(known, timeout=10)
            was_stuck = not any(call.done() for call in waiting)
            await end(waiting, held)
        return await first == again, was_stuck

    assert run(scenario) == (True, True)
