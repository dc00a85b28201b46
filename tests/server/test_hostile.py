"""Inputs that are meant to hurt, against a real server: each ends as documented, and the server goes on as before."""

import socket
import struct
import threading
import time
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.server.hostile_photos import MAX_PHOTO_BYTES, list_damaged, list_liars

from beedex.v1 import embedding_pb2, index_pb2, search_pb2, types_pb2

DIMENSION = 32
TIMEOUT_S = 60
MAX_STREAM_ITEMS = 50
MAX_STREAMS = 4
MAX_IDLE_S = 0.5
IDENTIFY = "/beedex.v1.SearchService/Identify"
NEIGHBORS = "/beedex.v1.SearchService/SearchNeighbors"
EMBED = "/beedex.v1.EmbeddingService/Embed"
STATUS = "/beedex.v1.IndexService/GetStatus"
PHOTO = "/beedex.v1.SearchService/GetPhoto"
ACTIVATE = "/beedex.v1.IndexService/ActivateSnapshot"
UPSERT = "/beedex.v1.IndexService/UpsertEntries"
DELETE = "/beedex.v1.IndexService/DeleteEntries"
STREAM = "/beedex.v1.SearchService/IdentifyStream"
STREAMING_REPLIES = {PHOTO}

OK = grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

PHOTOS = {name: (photo, reasons) for name, photo, reasons in (*list_damaged(), *list_liars())}

# After the attacks a server may have grown by this much: caches and allocators, not photos.
MOST_GROWTH_MB = 100


@pytest.fixture(scope="module")
def server(server_process, tiny_index, tmp_path_factory):
    """(the process, HOST:PORT) of a server for this file alone."""
    ready, limits = tmp_path_factory.mktemp("hostile") / "ready", []
    for limit in (f"max_stream_items={MAX_STREAM_ITEMS}", f"max_streams={MAX_STREAMS}", f"max_idle_s={MAX_IDLE_S}"):
        limits += ["--set", f"limits.{limit}"]
    with server_process(tiny_index, ready, "--threads", "1", *limits) as (process, address):
        yield psutil.Process(process.pid), address


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server[1], options=[("grpc.max_metadata_size", 1 << 20)]) as channel:
        yield channel


def send(channel, method, request, metadata=()):
    """Send raw bytes; return the code, and the reason of the ErrorInfo ("OK" without an error)."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    try:
        if method in STREAMING_REPLIES:
            list(channel.unary_stream(method)(data, timeout=TIMEOUT_S, metadata=metadata))
        else:
            channel.unary_unary(method)(data, timeout=TIMEOUT_S, metadata=metadata)
    except grpc.RpcError as error:
        failure: Any = error
        return failure.code(), read_reason(failure)
    return OK, "OK"


def read_reason(failure):
    details = dict(failure.trailing_metadata()).get("grpc-status-details-bin")
    if details is None:
        return None
    infos = [info for info in map(read_info, status_pb2.Status.FromString(details).details) if info is not None]
    (info,) = infos
    assert info.domain == "beedex"
    return info.reason


def read_info(detail):
    info = error_details_pb2.ErrorInfo()
    return info if detail.Unpack(info) else None


def read_item_reason(reply):
    """The reason of an item's ErrorInfo; "OK" if the item has no error."""
    info = error_details_pb2.ErrorInfo()
    _ = reply.HasField("error") and reply.error.details[0].Unpack(info)
    return info.reason or "OK"


def ask(**fields):
    return search_pb2.IdentifyRequest(query=types_pb2.Query(**fields))


def pack(numbers, dimension=DIMENSION):
    return types_pb2.Vector(values=np.asarray(numbers, "<f4").tobytes(), dimension=dimension)


def spoil(number):
    numbers = np.ones(DIMENSION)
    numbers[7] = number
    return pack(numbers)


@pytest.mark.parametrize("name", PHOTOS)
def test_a_hostile_photo_ends_in_a_documented_reason(channel, name):
    photo, reasons = PHOTOS[name]
    code, reason = send(channel, IDENTIFY, ask(photo=photo))

    assert reason in reasons
    assert code is (OK if reason == "OK" else INVALID)


VALID_VECTOR = pack(np.ones(DIMENSION))
REQUESTS: dict[str, tuple[str, Any, grpc.StatusCode, str | None]] = {
    "a vector with NaN": (IDENTIFY, ask(vector=spoil(np.nan)), INVALID, "NOT_FINITE"),
    "a vector with infinity": (IDENTIFY, ask(vector=spoil(np.inf)), INVALID, "NOT_FINITE"),
    "a vector with minus infinity": (NEIGHBORS, ask(vector=spoil(-np.inf)), INVALID, "NOT_FINITE"),
    "a vector of zeros": (IDENTIFY, ask(vector=pack(np.zeros(DIMENSION))), INVALID, "ZERO_VECTOR"),
    "a vector whose squares overflow": (IDENTIFY, ask(vector=pack(np.full(DIMENSION, 3e38))), OK, "OK"),
    "a vector whose squares vanish": (IDENTIFY, ask(vector=pack(np.full(DIMENSION, 1e-45))), OK, "OK"),
    "a vector too short": (IDENTIFY, ask(vector=pack(np.ones(31), 31)), INVALID, "WRONG_DIMENSION"),
    "a vector too long": (IDENTIFY, ask(vector=pack(np.ones(4096), 4096)), INVALID, "WRONG_DIMENSION"),
    "a vector that says 2^32 - 1": (
        IDENTIFY,
        ask(vector=types_pb2.Vector(values=b"1234", dimension=2**32 - 1)),
        INVALID,
        "WRONG_DIMENSION",
    ),
    "a vector of too few bytes": (
        IDENTIFY,
        ask(vector=types_pb2.Vector(values=bytes(127), dimension=DIMENSION)),
        INVALID,
        "WRONG_LENGTH",
    ),
    "a vector of 8 MB": (
        IDENTIFY,
        ask(vector=types_pb2.Vector(values=bytes(8_000_000), dimension=DIMENSION)),
        INVALID,
        "WRONG_LENGTH",
    ),
    "no query": (IDENTIFY, search_pb2.IdentifyRequest(), INVALID, "SOURCE_MISSING"),
    "k of 0": (IDENTIFY, search_pb2.IdentifyRequest(query={"vector": VALID_VECTOR}, k=0), INVALID, "K_OUT_OF_RANGE"),
    "k of -1": (
        NEIGHBORS,
        search_pb2.SearchNeighborsRequest(query={"vector": VALID_VECTOR}, k=-1),
        INVALID,
        "K_OUT_OF_RANGE",
    ),
    "k of -2^31": (
        NEIGHBORS,
        search_pb2.SearchNeighborsRequest(query={"vector": VALID_VECTOR}, k=-(2**31)),
        INVALID,
        "K_OUT_OF_RANGE",
    ),
    "k of 2^31 - 1": (
        IDENTIFY,
        search_pb2.IdentifyRequest(query={"vector": VALID_VECTOR}, k=2**31 - 1),
        INVALID,
        "K_OUT_OF_RANGE",
    ),
    "an id of a megabyte": (EMBED, embedding_pb2.EmbedRequest(entry_id="a" * 1_000_000), INVALID, "MALFORMED_ENTRY_ID"),
    "an id that is a path": (
        EMBED,
        embedding_pb2.EmbedRequest(entry_id="../../etc/passwd"),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "an id with a null byte": (
        EMBED,
        embedding_pb2.EmbedRequest(entry_id="0123456789abcde\0"),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "an id in capitals": (
        EMBED,
        embedding_pb2.EmbedRequest(entry_id="0123456789ABCDEF"),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "an id of other digits": (
        EMBED,
        embedding_pb2.EmbedRequest(entry_id="\N{FULLWIDTH DIGIT ZERO}" * 16),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "an id with a sign": (
        EMBED,
        embedding_pb2.EmbedRequest(entry_id="-123456789abcdef"),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "an id with SQL in it": (EMBED, embedding_pb2.EmbedRequest(entry_id="' OR 1=1; --"), INVALID, "MALFORMED_ENTRY_ID"),
    "an id of nothing": (EMBED, embedding_pb2.EmbedRequest(entry_id=""), INVALID, "MALFORMED_ENTRY_ID"),
    "an id that there isn't": (EMBED, embedding_pb2.EmbedRequest(entry_id="f" * 16), NOT_FOUND, "ENTRY_NOT_FOUND"),
    "a fingerprint of a megabyte": (
        STATUS,
        index_pb2.GetStatusRequest(expectation={"fingerprint": "f" * 1_000_000}),
        PRECONDITION,
        "FINGERPRINT_MISMATCH",
    ),
    "a snapshot of 2^64 - 1": (
        STATUS,
        index_pb2.GetStatusRequest(expectation={"snapshot": 2**64 - 1}),
        PRECONDITION,
        "SNAPSHOT_MISMATCH",
    ),
    "fields that the message doesn't have": (
        IDENTIFY,
        ask(vector=VALID_VECTOR).SerializeToString() + b"\xfa\x3f\x04evil",
        OK,
        "OK",
    ),
    "bytes that are no message": (IDENTIFY, b"\xff" * 100, INVALID, "MALFORMED_MESSAGE"),
    "a message that is cut off": (
        IDENTIFY,
        ask(photo=b"x" * 100).SerializeToString()[:50],
        INVALID,
        "MALFORMED_MESSAGE",
    ),
    "a length beyond the message": (IDENTIFY, b"\x0a\xff\xff\xff\xff\x07", INVALID, "MALFORMED_MESSAGE"),
    "a text that isn't UTF-8": (EMBED, b"\x12\x02\xff\xfe", INVALID, "MALFORMED_MESSAGE"),
    "groups within groups without end": (IDENTIFY, b"\x0b" * 100_000, INVALID, "MALFORMED_MESSAGE"),
    "both of a oneof": (
        IDENTIFY,
        ask(photo=b"x").SerializeToString() + ask(vector=VALID_VECTOR).SerializeToString(),
        OK,
        "OK",
    ),
    "a photo by a path": (
        PHOTO,
        search_pb2.GetPhotoRequest(entry_id="../../etc/passwd"),
        INVALID,
        "MALFORMED_ENTRY_ID",
    ),
    "a photo of -1 pixels": (
        PHOTO,
        search_pb2.GetPhotoRequest(entry_id="f" * 16, max_side_px=-1),
        INVALID,
        "SIDE_OUT_OF_RANGE",
    ),
    "a photo of 2^31 - 1 pixels": (
        PHOTO,
        search_pb2.GetPhotoRequest(entry_id="f" * 16, max_side_px=2**31 - 1),
        INVALID,
        "SIDE_OUT_OF_RANGE",
    ),
    "snapshot 0": (ACTIVATE, index_pb2.ActivateSnapshotRequest(version=0), INVALID, "VERSION_MISSING"),
    "snapshot 2^64 - 1": (
        ACTIVATE,
        index_pb2.ActivateSnapshotRequest(version=2**64 - 1),
        NOT_FOUND,
        "SNAPSHOT_NOT_FOUND",
    ),
    "no entries": (UPSERT, index_pb2.UpsertEntriesRequest(), INVALID, "ENTRIES_MISSING"),
    "100,000 entries": (
        UPSERT,
        index_pb2.UpsertEntriesRequest(entries=[index_pb2.EntryToUpsert()] * 100_000),
        INVALID,
        "TOO_MANY_ENTRIES",
    ),
    "100,000 ids": (DELETE, index_pb2.DeleteEntriesRequest(entry_ids=["x"] * 100_000), INVALID, "TOO_MANY_ENTRIES"),
    "an RPC that there isn't": ("/beedex.v1.SearchService/Destroy", b"", grpc.StatusCode.UNIMPLEMENTED, None),
    "a service that there isn't": ("/beedex.v9.X/Y", b"", grpc.StatusCode.UNIMPLEMENTED, None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_ends_in_its_documented_code(channel, name):
    method, request, code, reason = REQUESTS[name]

    assert send(channel, method, request) == (code, reason)


def test_no_request_has_an_enum_whose_value_could_be_unknown():
    messages = [
        message
        for module in (embedding_pb2, search_pb2, index_pb2, types_pb2)
        for message in module.DESCRIPTOR.message_types_by_name.values()
        if message.name.endswith("Request")
    ]

    assert messages
    assert [field.full_name for message in messages for field in message.fields if field.enum_type] == []


def test_a_message_larger_than_any_photo_is_refused_by_grpc(channel):
    request = ask(photo=bytes(MAX_PHOTO_BYTES + 1024 * 1024))

    assert send(channel, IDENTIFY, request) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)


@pytest.mark.parametrize(("count", "size"), [(1, 200_000), (4_000, 10)])
def test_metadata_beyond_the_limit_is_refused_by_grpc(channel, count, size):
    metadata = [(f"x-{number}", "a" * size) for number in range(count)]

    assert send(channel, STATUS, b"", metadata) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)


def test_callers_that_connect_and_say_nothing_keep_nobody_out(server, channel):
    host, _, port = server[1].partition(":")
    # One sends HTTP/1, one half of HTTP/2's greeting, one the header of a frame of 16 MB; the others are silent.
    words = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x00",
    ]
    callers = [socket.create_connection((host, int(port))) for _ in range(200)]
    try:
        for caller, word in zip(callers, words, strict=False):
            caller.sendall(word)
        began = time.monotonic()

        assert send(channel, STATUS, b"") == (OK, "OK")
        assert time.monotonic() - began < TIMEOUT_S / 2
    finally:
        for caller in callers:
            caller.close()


def test_a_caller_that_sends_byte_by_byte_keeps_nobody_out(server, channel):
    host, _, port = server[1].partition(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04\x00" + bytes(4))
        for byte in b"\x00\x00\x10\x00\x08":
            slow.sendall(bytes([byte]))
            assert send(channel, STATUS, b"") == (OK, "OK")


ENTRIES: dict[str, tuple[dict[str, Any], str]] = {
    "an entry of nothing": ({"family": "mason"}, "SOURCE_MISSING"),
    "an entry without a family": ({"entry_id": "f" * 16, "family": " "}, "FAMILY_MISSING"),
    "a family of a megabyte": ({"entry_id": "f" * 16, "family": "m" * 1_000_000}, "BAD_TEXT"),
    "a family with a line break": ({"entry_id": "f" * 16, "family": "mason\nERROR forged"}, "BAD_TEXT"),
    "a path with a terminal's escapes": ({"entry_id": "f" * 16, "family": "m", "path": "\x1b[2J"}, "BAD_TEXT"),
    "a hostile photo": ({"photo": b"GIF89a", "family": "mason"}, "UNSUPPORTED_FORMAT"),
    "an id that is a path": ({"entry_id": "../x", "family": "mason"}, "MALFORMED_ENTRY_ID"),
}


def test_hostile_entries_are_refused_one_by_one(channel):
    request = index_pb2.UpsertEntriesRequest(
        entries=[index_pb2.EntryToUpsert(**fields) for fields, _ in ENTRIES.values()]
    )
    upsert = channel.unary_unary(UPSERT, response_deserializer=index_pb2.UpsertEntriesResponse.FromString)
    outcomes = upsert(request.SerializeToString(), timeout=TIMEOUT_S).outcomes
    reasons = [read_item_reason(outcome) for outcome in outcomes]

    assert dict(zip(ENTRIES, reasons, strict=True)) == {name: reason for name, (_, reason) in ENTRIES.items()}


def stream(channel, items):
    """Send items, each a message or bytes; return the outcomes' reasons, and the stream's code and reason."""
    data = (item if isinstance(item, bytes) else item.SerializeToString() for item in items)
    parse = search_pb2.IdentifyStreamResponse.FromString
    outcomes: list[str] = []
    try:
        replies = channel.stream_stream(STREAM, response_deserializer=parse)(data, timeout=TIMEOUT_S)
        outcomes.extend(read_item_reason(reply) for reply in replies)
    except grpc.RpcError as error:
        failure: Any = error
        return outcomes, failure.code(), read_reason(failure)
    return outcomes, OK, "OK"


def ask_item(name="", **fields):
    return search_pb2.IdentifyStreamRequest(correlation_id=name, request=ask(**fields))


def test_every_hostile_photo_of_a_stream_fails_alone(channel):
    photos = list(PHOTOS.items())[:MAX_STREAM_ITEMS]
    parse = search_pb2.IdentifyStreamResponse.FromString
    items = (ask_item(name, photo=photo).SerializeToString() for name, (photo, _) in photos)
    replies = list(channel.stream_stream(STREAM, response_deserializer=parse)(items, timeout=TIMEOUT_S))

    assert {reply.correlation_id for reply in replies} == {name for name, _ in photos}
    for reply in replies:
        assert read_item_reason(reply) in PHOTOS[reply.correlation_id][1]


def test_a_stream_of_more_items_than_allowed_is_ended_after_answering_those(channel):
    outcomes, code, reason = stream(channel, [ask_item(vector=VALID_VECTOR)] * (MAX_STREAM_ITEMS + 1))

    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAM_TOO_LONG")
    assert outcomes == ["OK"] * MAX_STREAM_ITEMS


def test_a_stream_that_says_nothing_is_ended(channel):
    def wait():
        yield ask_item(vector=VALID_VECTOR)
        over.wait(TIMEOUT_S)

    over = threading.Event()
    try:
        assert stream(channel, wait()) == (["OK"], grpc.StatusCode.DEADLINE_EXCEEDED, "STREAM_IDLE")
    finally:
        over.set()


def test_a_stream_of_bytes_that_are_no_message_is_ended(channel):
    _, code, reason = stream(channel, [ask_item(vector=VALID_VECTOR), b"\xff" * 100])

    assert (code, reason) == (INVALID, "MALFORMED_MESSAGE")


def test_a_correlation_id_of_a_megabyte_ends_its_stream(channel):
    _, code, reason = stream(channel, [ask_item("a" * 1_000_000, vector=VALID_VECTOR)])

    assert (code, reason) == (INVALID, "CORRELATION_ID_TOO_LONG")


def test_more_streams_than_allowed_are_refused_and_let_in_when_others_ended(channel):
    over, open_streams = threading.Event(), []

    def wait():
        yield ask_item(vector=VALID_VECTOR).SerializeToString()
        over.wait(TIMEOUT_S)

    for _ in range(MAX_STREAMS):
        call = channel.stream_stream(STREAM)(wait(), timeout=TIMEOUT_S)
        next(call)
        open_streams.append(call)
    refused = stream(channel, [ask_item(vector=VALID_VECTOR)])
    over.set()
    for call in open_streams:
        list(call)

    assert refused == ([], grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert stream(channel, [ask_item(vector=VALID_VECTOR)]) == (["OK"], OK, "OK")


def test_memory_threads_and_descriptors_are_as_before_when_all_comes_again(server, channel):
    process, _ = server
    everything = [(IDENTIFY, ask(photo=photo)) for photo, _ in PHOTOS.values()]
    everything += [(method, request) for method, request, _, _ in REQUESTS.values()]
    for method, request in everything:
        send(channel, method, request)
    before = measure(process)
    for method, request in everything:
        send(channel, method, request)
    after = measure(process)

    assert after["rss_mb"] - before["rss_mb"] < MOST_GROWTH_MB
    assert after["threads"] <= before["threads"] + 2
    assert after["descriptors"] <= before["descriptors"] + 2
    assert len(everything) >= 60


def measure(process):
    with process.oneshot():
        return {
            "rss_mb": process.memory_info().rss / 1e6,
            "threads": process.num_threads(),
            "descriptors": process.num_fds(),
        }
