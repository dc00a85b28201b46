"""Every RPC against a real server with a real index: the answers, and each way of being refused."""

import io
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.preprocessing import prepare
from beedex.index.searcher import Searcher
from beedex.server.config import MESSAGE_ROOM_BYTES, LaneConfig, LimitsConfig, ServerConfig
from beedex.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    types_pb2,
)

MAX_PHOTO_BYTES = 32 * 1024 * 1024
DEFAULT_MAX_K = LimitsConfig().max_k
UNKNOWN_ENTRY = "0123456789abcdef"


@pytest.fixture(scope="module")
def searcher(tiny_index):
    return Searcher.open(tiny_index)


@pytest.fixture(scope="module")
def photos(tiny_gallery):
    """The bytes of every photo, by its path in the gallery."""
    return {
        path.relative_to(tiny_gallery).as_posix(): path.read_bytes() for path in sorted(tiny_gallery.rglob("*.jpg"))
    }


@pytest.fixture(scope="module")
def vectors(photos, tiny_bundle):
    """(D,) of every photo, by path, embedded here and without the server."""
    with Embedder.open(load_bundle(tiny_bundle), threads=1) as embedder:
        embedded = embedder.embed(np.stack([prepare(photo) for photo in photos.values()]))
    return dict(zip(photos, embedded, strict=True))


@pytest.fixture
def embedding(channel):
    return embedding_pb2_grpc.EmbeddingServiceStub(channel)


@pytest.fixture
def search(channel):
    return search_pb2_grpc.SearchServiceStub(channel)


@pytest.fixture
def index(channel):
    return index_pb2_grpc.IndexServiceStub(channel)


def unpack(vector):
    numbers = np.frombuffer(vector.values, "<f4")
    assert len(numbers) == vector.dimension
    return numbers


def pack(numbers):
    values = np.asarray(numbers, "<f4")
    return types_pb2.Vector(values=values.tobytes(), dimension=len(values))


def encode(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def refusal(call, request):
    """Code, reason and field of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    failure: Any = caught.value
    metadata = dict(failure.trailing_metadata())
    status = status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b""))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return failure.code(), info.reason, fields


def test_embed_gives_the_vector_that_the_embedder_gives(embedding, photos, vectors):
    for path, photo in photos.items():
        vector = unpack(embedding.Embed(embedding_pb2.EmbedRequest(photo=photo)).vector)

        assert vector @ vectors[path] >= 0.9999
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_embed_of_an_entry_gives_its_stored_vector(embedding, search, photos, vectors):
    path, photo = next(iter(photos.items()))
    query = types_pb2.Query(photo=photo)
    nearest = search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=query, k=1)).neighbors[0]
    reply = embedding.Embed(embedding_pb2.EmbedRequest(entry_id=nearest.entry.entry_id))

    assert nearest.entry.path == path
    assert unpack(reply.vector) @ vectors[path] >= 0.9999


def test_neighbors_are_those_of_brute_force(search, photos, vectors):
    everything = np.stack(list(vectors.values()))  # (N, D)
    for path, photo in photos.items():
        request = search_pb2.SearchNeighborsRequest(query=types_pb2.Query(photo=photo), k=5)
        neighbors = search.SearchNeighbors(request).neighbors
        similarities = np.sort(everything @ vectors[path])[::-1][:5]

        assert neighbors[0].entry.path == path
        np.testing.assert_allclose([neighbor.similarity for neighbor in neighbors], similarities, atol=1e-4)


@pytest.mark.parametrize("families", [["blue"], ["blue", "clover"], ["blue", "violet"], ["violet"]])
def test_neighbors_of_some_families_are_those_of_brute_force(search, photos, vectors, families):
    path, photo = next(iter(photos.items()))
    allowed = [other for other in vectors if other.split("/")[0] in families]
    nearest = sorted(allowed, key=lambda other: -(vectors[other] @ vectors[path]))[:9]
    request = search_pb2.SearchNeighborsRequest(query=types_pb2.Query(photo=photo), k=9, families=families)

    assert [neighbor.entry.path for neighbor in search.SearchNeighbors(request).neighbors] == nearest


def test_a_vector_finds_what_its_photo_finds_whatever_its_length(search, photos, vectors):
    path, photo = list(photos.items())[7]
    by_photo = search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=types_pb2.Query(photo=photo)))
    query = types_pb2.Query(vector=pack(vectors[path] * 1000))
    by_vector = search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=query))

    assert [n.entry.entry_id for n in by_vector.neighbors] == [n.entry.entry_id for n in by_photo.neighbors]
    assert len(by_vector.neighbors) == 10


def test_an_entry_is_not_its_own_neighbor(search, searcher, photos):
    for entry in searcher.snapshot.entries.read(searcher.snapshot.entries.ids[:3]):
        request = search_pb2.SearchNeighborsRequest(query=types_pb2.Query(entry_id=entry.entry_id), k=len(photos))
        found = [neighbor.entry.entry_id for neighbor in search.SearchNeighbors(request).neighbors]

        assert len(found) == len(photos) - 1
        assert entry.entry_id not in found


def test_neighbors_say_what_the_gallery_says(search, photos, searcher):
    path, photo = next(iter(photos.items()))
    request = search_pb2.SearchNeighborsRequest(query=types_pb2.Query(photo=photo), k=1)
    entry = search.SearchNeighbors(request).neighbors[0].entry
    stored = searcher.snapshot.entry(entry.entry_id)

    assert (entry.path, entry.family, entry.group) == (path, stored.family, stored.group or "")


def test_identify_names_the_family_and_shows_its_evidence(search, photos):
    for path, photo in photos.items():
        reply = search.Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo), k=3))
        family = path.split("/")[0]

        assert reply.verdict == search_pb2.VERDICT_MATCH
        assert (reply.family, list(reply.candidates)) == (family, [family])
        assert reply.families[0].family == family
        assert reply.probability == reply.families[0].probability
        assert sum(score.probability for score in reply.families) == pytest.approx(1, abs=1e-9)
        assert len(reply.neighbors) == 3
        assert reply.reason


def test_identify_of_an_entry_leaves_its_own_vote_out(search, searcher):
    entry = searcher.snapshot.entries.read(searcher.snapshot.entries.ids[:1])[0]
    reply = search.Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(entry_id=entry.entry_id)))
    expected = searcher.identify(searcher.vector_of(entry.entry_id), 10, exclude=entry.entry_id).decision

    assert entry.entry_id not in [neighbor.entry.entry_id for neighbor in reply.neighbors]
    assert reply.probability == pytest.approx(expected.probability)
    assert reply.families[0].similarity == pytest.approx(expected.families[0].similarity)


def test_a_vector_like_nothing_in_the_index_is_unknown(search, vectors):
    # The right singular vector of the least singular value is nearly orthogonal to every photo.
    unlike = np.linalg.svd(np.stack(list(vectors.values())))[2][-1]
    reply = search.Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(vector=pack(unlike))))

    assert reply.verdict == search_pb2.VERDICT_UNKNOWN
    assert (reply.family, list(reply.candidates)) == ("", [])
    assert "nothing in the gallery is near" in reply.reason


def test_families_come_by_name_with_their_counts(search):
    reply = search.ListFamilies(search_pb2.ListFamiliesRequest())

    assert [(family.name, family.entries) for family in reply.families] == [("amber", 6), ("blue", 6), ("clover", 6)]


def test_status_tells_embedder_snapshot_and_limits(index, searcher, tiny_bundle):
    reply = index.GetStatus(index_pb2.GetStatusRequest())
    card = load_bundle(tiny_bundle).card

    assert reply.embedder.fingerprint == card.fingerprint
    assert (reply.embedder.dimension, reply.embedder.backbone) == (card.dimension, "tiny")
    assert (reply.embedder.weights, reply.embedder.weights_note) == ("random", card.weights.note)
    assert (reply.embedder.calibrated, reply.embedder.input_side_px) == (True, card.preprocessing.side_px)
    assert (reply.snapshot.version, reply.snapshot.entries, reply.snapshot.families) == (1, 18, 3)
    assert reply.snapshot.index_kind == searcher.snapshot.manifest.index_kind
    assert reply.limits.max_photo_bytes == MAX_PHOTO_BYTES
    assert (reply.limits.max_photo_pixels, reply.limits.max_photo_side_px) == (64_000_000, 20_000)
    assert list(reply.limits.photo_formats) == ["JPEG", "PNG", "WEBP"]
    assert reply.limits.max_k == DEFAULT_MAX_K
    assert (reply.load.lane_depth, reply.load.lane_capacity) == (0, LaneConfig().capacity)
    assert reply.load.expected_wait_s > 0
    assert reply.server_version.count(".") == 2


def test_every_reply_names_embedder_and_snapshot(embedding, search, index, searcher, photos):
    photo = next(iter(photos.values()))
    query = types_pb2.Query(photo=photo)
    replies = [
        embedding.Embed(embedding_pb2.EmbedRequest(photo=photo)),
        search.Identify(search_pb2.IdentifyRequest(query=query)),
        search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=query)),
        search.ListFamilies(search_pb2.ListFamiliesRequest()),
        index.GetStatus(index_pb2.GetStatusRequest()),
    ]

    for reply in replies:
        assert (reply.origin.fingerprint, reply.origin.snapshot) == (searcher.fingerprint, 1)


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        (types_pb2.Expectation(fingerprint="f" * 64), "FINGERPRINT_MISMATCH"),
        (types_pb2.Expectation(snapshot=2), "SNAPSHOT_MISMATCH"),
    ],
)
def test_every_rpc_refuses_an_expectation_that_is_false(embedding, search, index, expectation, reason):
    calls = [
        (embedding.Embed, embedding_pb2.EmbedRequest(expectation=expectation)),
        (search.Identify, search_pb2.IdentifyRequest(expectation=expectation)),
        (search.SearchNeighbors, search_pb2.SearchNeighborsRequest(expectation=expectation)),
        (search.ListFamilies, search_pb2.ListFamiliesRequest(expectation=expectation)),
        (index.GetStatus, index_pb2.GetStatusRequest(expectation=expectation)),
    ]

    for call, request in calls:
        assert refusal(call, request) == (grpc.StatusCode.FAILED_PRECONDITION, reason, [])


BAD_PHOTOS = {
    "EMPTY": b"",
    "NOT_A_PHOTO": b"This is a text about bees.",
    "UNSUPPORTED_FORMAT": encode(Image.new("RGB", (8, 8)), "GIF"),
    "DAMAGED": encode(Image.new("RGB", (64, 64)), "JPEG")[:200],
    "TOO_MANY_PIXELS": encode(Image.new("1", (9_000, 9_000)), "PNG"),
    "SIDE_TOO_LONG": encode(Image.new("1", (20_001, 1)), "PNG"),
    "TOO_MANY_BYTES": b"\xff\xd8\xff" + bytes(MAX_PHOTO_BYTES),
}


@pytest.mark.parametrize("reason", BAD_PHOTOS)
def test_a_bad_photo_is_invalid_by_its_reason_in_every_rpc_that_takes_one(embedding, search, reason):
    query = types_pb2.Query(photo=BAD_PHOTOS[reason])
    code = grpc.StatusCode.INVALID_ARGUMENT

    embed = refusal(embedding.Embed, embedding_pb2.EmbedRequest(photo=BAD_PHOTOS[reason]))
    identify = refusal(search.Identify, search_pb2.IdentifyRequest(query=query))
    neighbors = refusal(search.SearchNeighbors, search_pb2.SearchNeighborsRequest(query=query))

    assert embed == (code, reason, ["photo"])
    assert identify == neighbors == (code, reason, ["query.photo"])


def test_a_message_larger_than_any_photo_is_refused_by_grpc_and_the_server_goes_on(embedding, photos):
    too_large = embedding_pb2.EmbedRequest(photo=bytes(MAX_PHOTO_BYTES + MESSAGE_ROOM_BYTES))

    assert refusal(embedding.Embed, too_large) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "", [])
    assert embedding.Embed(embedding_pb2.EmbedRequest(photo=next(iter(photos.values())))).vector.dimension == 32


@pytest.mark.parametrize(
    ("query", "reason", "field"),
    [
        (types_pb2.Query(), "SOURCE_MISSING", "query.source"),
        (types_pb2.Query(vector=pack(np.ones(31))), "WRONG_DIMENSION", "query.vector"),
        (types_pb2.Query(vector=types_pb2.Vector(values=b"1234", dimension=32)), "WRONG_LENGTH", "query.vector"),
        (types_pb2.Query(vector=pack(np.full(32, np.nan))), "NOT_FINITE", "query.vector"),
        (types_pb2.Query(vector=pack(np.zeros(32))), "ZERO_VECTOR", "query.vector"),
        (types_pb2.Query(entry_id=""), "MALFORMED_ENTRY_ID", "query.entry_id"),
        (types_pb2.Query(entry_id="../../etc/passwd"), "MALFORMED_ENTRY_ID", "query.entry_id"),
        (types_pb2.Query(entry_id="x" * 1_000_000), "MALFORMED_ENTRY_ID", "query.entry_id"),
    ],
)
def test_a_query_that_can_not_be_answered_is_invalid_by_its_reason(search, query, reason, field):
    expected = (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])

    assert refusal(search.Identify, search_pb2.IdentifyRequest(query=query)) == expected
    assert refusal(search.SearchNeighbors, search_pb2.SearchNeighborsRequest(query=query)) == expected


@pytest.mark.parametrize("k", [0, -1, DEFAULT_MAX_K + 1])
def test_k_out_of_range_is_refused_before_the_photo_is_looked_at(search, k):
    expected = (grpc.StatusCode.INVALID_ARGUMENT, "K_OUT_OF_RANGE", ["k"])
    query = types_pb2.Query(photo=b"not a photo")

    assert refusal(search.Identify, search_pb2.IdentifyRequest(query=query, k=k)) == expected
    assert refusal(search.SearchNeighbors, search_pb2.SearchNeighborsRequest(query=query, k=k)) == expected


def test_the_largest_k_gives_the_whole_index(search, photos):
    query = types_pb2.Query(photo=next(iter(photos.values())))
    request = search_pb2.SearchNeighborsRequest(query=query, k=DEFAULT_MAX_K)

    assert len(search.SearchNeighbors(request).neighbors) == len(photos)


def test_an_entry_that_is_not_there_is_not_found(embedding, search):
    expected = (grpc.StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND")
    query = types_pb2.Query(entry_id=UNKNOWN_ENTRY)

    assert refusal(embedding.Embed, embedding_pb2.EmbedRequest(entry_id=UNKNOWN_ENTRY))[:2] == expected
    assert refusal(search.Identify, search_pb2.IdentifyRequest(query=query))[:2] == expected
    assert refusal(search.SearchNeighbors, search_pb2.SearchNeighborsRequest(query=query))[:2] == expected


def test_embed_without_a_source_is_invalid(embedding):
    expected = (grpc.StatusCode.INVALID_ARGUMENT, "SOURCE_MISSING", ["source"])

    assert refusal(embedding.Embed, embedding_pb2.EmbedRequest()) == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"listen": "50051"}, "listen"),
        ({"listen": "127.0.0.1:"}, "listen"),
        ({"listen": "127.0.0.1:99999"}, "listen"),
        ({"lane": {"threads": 0}}, r"lane\.threads"),
        ({"lane": {"capacity": 0}}, r"lane\.capacity"),
        ({"lane": {"decode_threads": 0}}, r"lane\.decode_threads"),
        ({"limits": {"max_k": 0}}, r"limits\.max_k"),
        ({"limits": {"max_kk": 1}}, r"limits\.max_kk"),
        ({"grace_s": -1.0}, "grace_s"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tiny_index, change, named):
    with pytest.raises(ValueError, match=named):
        ServerConfig.model_validate({"index_dir": tiny_index, **change})
