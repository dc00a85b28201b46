"""Every call of both clients against a real server."""

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from beedex.client import (
    AsyncClient,
    Client,
    NotFoundError,
    PhotoError,
    PreconditionError,
    RequestError,
    Verdict,
)
from beedex.v1 import index_pb2

UNKNOWN_ENTRY = "0123456789abcdef"
UNKNOWN_FINGERPRINT = "f" * 64


@pytest.fixture
def client(connect, address):
    return connect(address)


@pytest.fixture
def photo(tiny_gallery):
    return min(tiny_gallery.rglob("*.jpg"))


def test_identify_names_the_family_with_its_evidence(client, tiny_gallery):
    for photo in sorted(tiny_gallery.rglob("*_000.jpg")):
        answer = client.identify(photo, k=3)

        assert answer.verdict is Verdict.MATCH
        assert answer.family == photo.parent.name
        assert answer.candidates == (answer.family,)
        assert sum(score.probability for score in answer.families) == pytest.approx(1, abs=1e-9)
        assert answer.families[0].probability == answer.probability
        assert [neighbor.family for neighbor in answer.neighbors] == [answer.family] * 3
        assert answer.neighbors[0].similarity == pytest.approx(1, abs=1e-4)
        assert answer.neighbors[0].path == photo.relative_to(tiny_gallery).as_posix()


def test_a_photo_may_be_a_path_bytes_or_a_file(client, photo):
    with photo.open("rb") as file:
        sources = [photo, str(photo), photo.read_bytes(), bytearray(photo.read_bytes()), file]
        answers = [client.identify(source).probability for source in sources]

    assert len(set(answers)) == 1


def test_a_query_may_be_a_vector_an_embedding_or_an_entry(client, photo):
    embedding = client.embed(photo)
    entry_id = client.neighbors(photo, k=1)[0].entry_id
    by_list = client.neighbors(vector=embedding.vector.tolist(), k=2)
    by_array = client.neighbors(vector=embedding.vector, k=2)
    by_embedding = client.neighbors(vector=embedding, k=2)
    by_entry = client.neighbors(entry_id=entry_id, k=1)

    assert by_list == by_array == by_embedding
    assert by_array[0].entry_id == entry_id
    assert by_entry[0].entry_id == by_array[1].entry_id


def test_an_embedding_is_a_read_only_unit_vector(client, photo):
    embedding = client.embed(photo)

    assert embedding.vector.shape == (32,)
    assert embedding.vector.dtype == np.float32
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)
    assert not embedding.vector.flags.writeable
    np.testing.assert_array_equal(np.asarray(embedding), embedding.vector)


def test_embed_of_an_entry_is_the_vector_of_its_photo(client, photo):
    entry_id = client.neighbors(photo, k=1)[0].entry_id

    assert client.embed(entry_id=entry_id).vector @ client.embed(photo).vector >= 0.9999


def test_families_and_neighbors_are_sequences(client, photo):
    families, neighbors = client.families(), client.neighbors(photo, k=4)

    assert [(family.name, family.entries) for family in families] == [("amber", 6), ("blue", 6), ("clover", 6)]
    assert len(neighbors) == 4
    assert neighbors[1:3] == tuple(neighbors)[1:3]


def test_status_tells_what_is_served(client):
    status = client.status()

    assert (status.dimension, status.entries, status.families, status.snapshot) == (32, 18, 3, 1)
    assert (status.backbone, status.weights, status.calibrated) == ("tiny", "random", True)
    assert status.limits.max_photo_bytes == 32 * 1024 * 1024
    assert status.limits.photo_formats == ("JPEG", "PNG", "WEBP")


def test_status_tells_every_limit_that_the_protocol_has(client):
    limits = client.status().limits.to_dict()

    assert sorted(limits) == sorted(field.name for field in index_pb2.Limits.DESCRIPTOR.fields)
    assert all(limits.values())


def test_every_result_is_frozen_and_names_embedder_and_snapshot(client, photo):
    status = client.status()
    results = [client.identify(photo), client.neighbors(photo), client.embed(photo), client.families(), status]

    for result in results:
        assert (result.fingerprint, result.snapshot) == (status.fingerprint, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.snapshot = 2


def test_the_expected_embedder_is_served(connect, address, client, photo):
    expected = client.status().fingerprint

    assert connect(address, expected_fingerprint=expected).identify(photo).fingerprint == expected


def test_another_embedder_than_the_expected_is_refused_by_name(connect, address, photo):
    careful = connect(address, expected_fingerprint=UNKNOWN_FINGERPRINT)

    for call in (careful.status, careful.families, lambda: careful.identify(photo), lambda: careful.embed(photo)):
        with pytest.raises(PreconditionError, match=UNKNOWN_FINGERPRINT) as caught:
            call()
        assert caught.value.reason == "FINGERPRINT_MISMATCH"
        assert caught.value.details["expected"] == UNKNOWN_FINGERPRINT


def test_an_embedding_of_another_embedder_is_refused_though_its_vector_would_fit(client, photo):
    foreign = dataclasses.replace(client.embed(photo), fingerprint=UNKNOWN_FINGERPRINT)

    with pytest.raises(PreconditionError):
        client.neighbors(vector=foreign)


@pytest.mark.parametrize(
    ("arguments", "kind", "reason"),
    [
        ({"photo": b"not a photo"}, PhotoError, "NOT_A_PHOTO"),
        ({"photo": b""}, PhotoError, "EMPTY"),
        ({"vector": np.ones(31)}, RequestError, "WRONG_DIMENSION"),
        ({"vector": np.full(32, np.nan)}, RequestError, "NOT_FINITE"),
        ({"vector": np.zeros(32)}, RequestError, "ZERO_VECTOR"),
        ({"vector": np.ones(32), "k": 0}, RequestError, "K_OUT_OF_RANGE"),
        ({"vector": np.ones(32), "k": 1001}, RequestError, "K_OUT_OF_RANGE"),
        ({"entry_id": "bee"}, RequestError, "MALFORMED_ENTRY_ID"),
        ({"entry_id": UNKNOWN_ENTRY}, NotFoundError, "ENTRY_NOT_FOUND"),
    ],
)
def test_what_the_server_refuses_is_an_error_with_its_reason(client, arguments, kind, reason):
    for call in (client.identify, client.neighbors):
        with pytest.raises(kind) as caught:
            call(**arguments)
        assert type(caught.value) is kind
        assert caught.value.reason == reason
        assert caught.value.code is not None


def test_a_photo_that_is_not_there_or_not_readable_is_a_photo_error(client, tmp_path):
    for path, reason in ((tmp_path / "bee.jpg", "NO_SUCH_FILE"), (tmp_path, "UNREADABLE_FILE")):
        with pytest.raises(PhotoError, match=path.name) as caught:
            client.identify(path)
        assert (caught.value.reason, caught.value.code) == (reason, None)


def test_a_photo_above_the_servers_limit_fails_before_it_is_sent(client):
    too_large = bytes(32 * 1024 * 1024 + 1)
    for call in (client.identify, client.neighbors, client.embed):
        with pytest.raises(PhotoError, match="expected at most 33554432 bytes") as caught:
            call(too_large)
        assert (caught.value.reason, caught.value.code) == ("TOO_MANY_BYTES", None)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"photo": b"x", "entry_id": UNKNOWN_ENTRY},
        {"vector": [1.0], "entry_id": UNKNOWN_ENTRY},
        {"photo": 3},
        {"photo": open},
    ],
)
def test_a_call_without_exactly_one_proper_source_is_a_type_error(client, arguments):
    with pytest.raises(TypeError, match=r"exactly one of|a photo is a path"):
        client.identify(**arguments)


def test_a_text_file_is_no_photo(client, tmp_path):
    path = tmp_path / "bee.txt"
    path.write_text("bee")

    with path.open() as file, pytest.raises(TypeError, match="binary mode"):
        client.identify(file)


def test_a_matrix_is_no_query(client):
    with pytest.raises(ValueError, match=r"expected an array of shape \(D,\), received \(2, 32\)"):
        client.neighbors(vector=np.ones((2, 32)))


def test_many_threads_share_one_client(address, photo):
    with Client(address) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.identify(photo, k=1), range(32)))

    assert {answer.family for answer in answers} == {photo.parent.name}


def test_many_tasks_share_one_client(address, photo):
    async def scenario():
        async with AsyncClient(address) as client:
            return await asyncio.gather(*(client.identify(photo, k=1) for _ in range(32)))

    assert {answer.family for answer in asyncio.run(scenario())} == {photo.parent.name}
