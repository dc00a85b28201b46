"""Which calls are made again, when, and how often; servers that are real and refuse."""

import asyncio
import time
from itertools import pairwise

import grpc
import pytest
from google.protobuf.descriptor_pool import Default
from tests.client.strangers import STREAMED_REPLIES, Stranger, refuse, refuse_first, serve_stranger

from beedex.client import BusyError, RequestError, UnavailableError
from beedex.client._calls.methods import DELETE_ENTRIES, GET_STATUS, METHODS
from beedex.client._connections.async_connection import AsyncConnection
from beedex.client._connections.channel import ChannelConfig
from beedex.client._connections.connection import Connection
from beedex.client._connections.deadline import Deadline
from beedex.client._connections.retries import JITTER, Retries
from beedex.v1 import index_pb2

BUSY, UNAVAILABLE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
STATUS = index_pb2.GetStatusResponse(server_version="9.9.9").SerializeToString()
PHOTO_BYTES = 3 * 1024 * 1024

UNARY = [method for method in METHODS if method.name not in STREAMED_REPLIES]


def make_call(face, address, method, *, attempts=4, retry=True, timeout_s=20.0):
    """Make one call through a connection of either face."""
    config = ChannelConfig(target=address, attempts=attempts, timeout_s=timeout_s)

    async def scenario():
        connection = AsyncConnection(config)
        try:
            return await connection.call(method, method.request(), connection.start(None), retry=retry)
        finally:
            await connection.close()

    if face == "AsyncClient":
        return asyncio.run(scenario())
    connection = Connection(config)
    try:
        return connection.call(method, method.request(), connection.start(None), retry=retry)
    finally:
        connection.close()


@pytest.fixture(params=["Client", "AsyncClient"])
def face(request):
    return request.param


def test_the_methods_are_those_of_the_protocol():
    pool = Default()
    found = {
        (service, method.name, method.input_type.name, method.output_type.name)
        for service in ("EmbeddingService", "SearchService", "IndexService")
        for method in pool.FindServiceByName(f"beedex.v1.{service}").methods
    }
    known = {
        (method.service, method.name, method.request.DESCRIPTOR.name, method.reply.DESCRIPTOR.name)
        for method in METHODS
    }

    assert known == found
    assert len(METHODS) == len(found)


@pytest.mark.parametrize("method", UNARY, ids=lambda method: method.name)
def test_a_call_whose_fate_is_unknown_is_repeated_only_if_a_second_time_is_as_good_as_the_first(face, method):
    stranger = Stranger({method.name: refuse_first(1, UNAVAILABLE)})
    with serve_stranger(stranger) as address:
        if method.is_repeatable:
            make_call(face, address, method)
        else:
            with pytest.raises(UnavailableError):
                make_call(face, address, method)

    assert stranger.asked == (2 if method.is_repeatable else 1)


def test_what_changes_more_the_second_time_or_tells_another_answer_is_not_repeatable():
    once = {"ActivateSnapshot", "DeleteEntries", "EmbedStream", "IdentifyStream", "Rebuild", "RollbackSnapshot"}

    assert {method.name for method in METHODS if not method.is_repeatable} == once


@pytest.mark.parametrize("method", UNARY, ids=lambda method: method.name)
def test_a_call_that_was_refused_at_the_door_is_repeated_whatever_it_is(face, method):
    stranger = Stranger({method.name: refuse_first(1, BUSY, retry_after_s=0.01)})
    with serve_stranger(stranger) as address:
        make_call(face, address, method)

    assert stranger.asked == 2


def test_a_busy_server_is_asked_again_no_sooner_than_it_says(face):
    arrivals = []

    def answer(_request, context):
        arrivals.append(time.monotonic())
        if len(arrivals) < 3:
            refuse(context, BUSY, retry_after_s=0.2)
        return STATUS

    with serve_stranger(Stranger({"GetStatus": answer})) as address:
        reply, _ = make_call(face, address, GET_STATUS)

    assert reply.server_version == "9.9.9"
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(arrivals))


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(face):
    stranger = Stranger({"GetStatus": refuse_first(99, BUSY, retry_after_s=30.0, reason="LANE_FULL")})
    with serve_stranger(stranger) as address, pytest.raises(BusyError) as caught:
        make_call(face, address, GET_STATUS, timeout_s=20.0)

    assert stranger.asked == 1
    assert (caught.value.retry_after_s, caught.value.reason, caught.value.code) == (30.0, "LANE_FULL", BUSY)


@pytest.mark.parametrize("code", [BUSY, UNAVAILABLE])
@pytest.mark.parametrize(("options", "asked"), [({"attempts": 3}, 3), ({"attempts": 1}, 1), ({"retry": False}, 1)])
def test_attempts_are_counted_and_can_be_switched_off_for_a_client_and_for_a_call(face, code, options, asked):
    stranger = Stranger({"GetStatus": refuse_first(99, code, retry_after_s=0.01)})
    with serve_stranger(stranger) as address, pytest.raises((BusyError, UnavailableError)):
        make_call(face, address, GET_STATUS, **options)

    assert stranger.asked == asked


@pytest.mark.parametrize("call", ["families", "photo", "delete"])
def test_a_call_of_a_client_can_be_made_once(connect, call):
    names = {"families": "ListFamilies", "photo": "GetPhoto", "delete": "DeleteEntries"}
    stranger = Stranger({names[call]: refuse_first(99, UNAVAILABLE)})
    arguments = {"families": (), "photo": ("0" * 16,), "delete": (["0" * 16],)}
    with serve_stranger(stranger) as address, pytest.raises(UnavailableError):
        getattr(connect(address), call)(*arguments[call], retry=False)

    assert stranger.asked == 1


def test_what_is_asked_before_a_large_photo_is_made_once_too(connect):
    stranger = Stranger({"GetStatus": refuse_first(99, UNAVAILABLE)})
    with serve_stranger(stranger) as address, pytest.raises(UnavailableError):
        connect(address, shrink=False).identify(bytes(2 * PHOTO_BYTES), retry=False)

    assert stranger.asked == 1


def test_a_refusal_without_a_time_to_wait_is_final(face):
    stranger = Stranger({"GetStatus": refuse_first(99, BUSY)})
    with serve_stranger(stranger) as address, pytest.raises(RequestError):
        make_call(face, address, GET_STATUS)

    assert stranger.asked == 1


def test_large_photos_are_sent_again_too(connect):
    received = []

    def answer(request, context):
        received.append(len(request))
        return refuse(context, UNAVAILABLE) if len(received) < 3 else b""

    status = index_pb2.GetStatusResponse(limits=index_pb2.Limits(max_photo_bytes=2 * PHOTO_BYTES)).SerializeToString()
    answers = {"GetStatus": lambda *_: status, "Embed": answer}
    with serve_stranger(Stranger(answers), options=[("grpc.max_receive_message_length", -1)]) as address:
        connect(address, shrink=False).embed(bytes(PHOTO_BYTES))

    assert len(received) == 3
    assert min(received) > PHOTO_BYTES


@pytest.mark.parametrize("code", [BUSY, UNAVAILABLE])
def test_all_attempts_have_one_deadline_and_one_request_id(face, code):
    left = []

    def answer(_request, context):
        left.append(context.time_remaining())
        return refuse(context, code, retry_after_s=0.5) if len(left) < 3 else STATUS

    stranger = Stranger({"GetStatus": answer})
    with serve_stranger(stranger) as address:
        _, request_id = make_call(face, address, GET_STATUS, timeout_s=4.0)

    # Two waits of 0.24 s or more in all; gRPC tells the server of the time left with an error of a few per cent.
    assert left[2] < left[0] - 0.1
    assert {metadata["x-request-id"] for _, metadata in stranger.calls} == {request_id}


def test_the_deadline_ends_a_call_that_is_repeated(face):
    stranger = Stranger({"DeleteEntries": refuse_first(99, BUSY, retry_after_s=0.3)})
    begin = time.monotonic()
    with serve_stranger(stranger) as address, pytest.raises(BusyError):
        make_call(face, address, DELETE_ENTRIES, attempts=5, timeout_s=0.5)

    assert stranger.asked <= 2
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("drawn", "wait_s"), [(0.0, 2.0), (1.0, 2.0 * (1 + JITTER))])
def test_waits_are_spread_above_what_the_server_says(drawn, wait_s):
    retries = Retries(2, Deadline.after(60.0), draw=lambda: drawn)

    assert retries.wait_after(BusyError("full", retry_after_s=2.0)) == pytest.approx(wait_s)


def test_only_a_busy_server_that_says_when_is_waited_for():
    for error in (
        BusyError("full"),
        UnavailableError("gone", retry_after_s=0.1),
        RequestError("no", retry_after_s=0.1),
    ):
        assert Retries(5, Deadline.after(60.0)).wait_after(error) is None
