"""Requests of every RPC, good and bad."""

import io
from typing import Any

import numpy as np
from PIL import Image

from beedex.v1 import embedding_pb2, index_pb2, search_pb2, types_pb2

STREAM_ITEMS: dict[str, Any] = {
    "EmbedStream": embedding_pb2.EmbedStreamRequest,
    "IdentifyStream": search_pb2.IdentifyStreamRequest,
}

# What the servers of the tests take at most.
MAX_PHOTO_BYTES = 200_000

UNKNOWN_ENTRY = "0123456789abcdef"
BAD_IDS = ("../../etc/passwd", UNKNOWN_ENTRY)


def encode(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def pack(numbers):
    values = np.asarray(numbers, "<f4")
    return types_pb2.Vector(values=values.tobytes(), dimension=len(values))


PHOTO = encode(Image.new("RGB", (80, 60), (220, 150, 30)), "PNG")

BAD_PHOTOS = (
    b"",
    b"This is a text about bees.",
    encode(Image.new("RGB", (8, 8)), "GIF"),
    encode(Image.new("RGB", (64, 64)), "JPEG")[:200],
    encode(Image.new("1", (9_000, 9_000)), "PNG"),
    encode(Image.new("1", (20_001, 1)), "PNG"),
    b"\xff\xd8\xff" + bytes(MAX_PHOTO_BYTES),
)

BAD_VECTORS = (
    pack(np.ones(31)),
    types_pb2.Vector(values=b"1234", dimension=32),
    pack(np.full(32, np.nan)),
    pack(np.zeros(32)),
)


def embed(**what):
    return embedding_pb2.EmbedRequest(**what)


def identify(k=None, expectation=None, **query):
    return search_pb2.IdentifyRequest(query=types_pb2.Query(**query), k=k, expectation=expectation)


def search(k=None, families=(), expectation=None, **query):
    return search_pb2.SearchNeighborsRequest(
        query=types_pb2.Query(**query), k=k, families=families, expectation=expectation
    )


def upsert(*entries, expectation=None):
    wishes = [index_pb2.EntryToUpsert(**entry) for entry in entries]
    return index_pb2.UpsertEntriesRequest(entries=wishes, expectation=expectation)


def delete(*entry_ids, expectation=None):
    return index_pb2.DeleteEntriesRequest(entry_ids=entry_ids, expectation=expectation)


def activate(version, expectation=None):
    return index_pb2.ActivateSnapshotRequest(version=version, expectation=expectation)


def show(entry_id, max_side_px=None, expectation=None):
    return search_pb2.GetPhotoRequest(entry_id=entry_id, max_side_px=max_side_px, expectation=expectation)


def in_stream(rpc, request):
    return STREAM_ITEMS[rpc](request=request)


def ask_every(expectation=None):
    """A request of each RPC that a server looks at, if it looks at any."""
    said = {"expectation": expectation}
    return {
        "Embed": embed(photo=PHOTO, **said),
        "EmbedStream": in_stream("EmbedStream", embed(photo=PHOTO, **said)),
        "Identify": identify(photo=PHOTO, **said),
        "IdentifyStream": in_stream("IdentifyStream", identify(photo=PHOTO, **said)),
        "SearchNeighbors": search(photo=PHOTO, **said),
        "ListFamilies": search_pb2.ListFamiliesRequest(**said),
        "GetPhoto": show(UNKNOWN_ENTRY, **said),
        "GetStatus": index_pb2.GetStatusRequest(**said),
        "ListSnapshots": index_pb2.ListSnapshotsRequest(**said),
        "ActivateSnapshot": activate(1, **said),
        "RollbackSnapshot": index_pb2.RollbackSnapshotRequest(**said),
        "Rebuild": index_pb2.RebuildRequest(**said),
        "UpsertEntries": upsert({"photo": PHOTO, "family": "amber"}, **said),
        "DeleteEntries": delete(UNKNOWN_ENTRY, **said),
    }


def ask_some(*rpcs):
    """Those of `ask_every` that are named."""
    return {rpc: request for rpc, request in ask_every().items() if rpc in rpcs}
