"""identify_many and embed_many of both clients: order, errors of single photos, what is read ahead."""

import asyncio
import itertools
import threading
import time
from contextlib import aclosing, closing
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.client.waiting import WAIT_S, wait_until

from beedex.client import (
    AsyncClient,
    Client,
    ClosedClientError,
    Identification,
    PhotoError,
    PreconditionError,
)

# For streams that end and follow one another.
NARROW = ("--set", "limits.max_stream_items=3", "--set", "limits.stream_window=2", "--set", "limits.max_idle_s=0.3")


@pytest.fixture
def client(connect, address):
    return connect(address)


@pytest.fixture(scope="session")
def photos(tiny_gallery):
    return sorted(tiny_gallery.rglob("*.jpg"))


@pytest.fixture(scope="session")
def narrow_address(server_process, served_index, tmp_path_factory):
    """A server whose streams take three photos and may be idle for 0.3 s."""
    with server_process(served_index, tmp_path_factory.mktemp("narrow"), *NARROW) as (_, address):
        yield address


class Counted:
    """An iterable that knows how much of it was read."""

    def __init__(self, photos):
        self._photos = iter(photos)
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        photo = next(self._photos)
        self.count += 1
        return photo


def encode_large(side_px):
    """A large photo, which takes the server much longer than a small one."""
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side_px, side_px, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def test_outcomes_come_in_the_order_of_the_photos_and_are_those_of_identify(client, photos):
    outcomes = list(client.identify_many(photos, k=3))

    assert [outcome.index for outcome in outcomes] == list(range(len(photos)))
    assert [outcome.photo for outcome in outcomes] == photos
    assert [outcome.result for outcome in outcomes] == [client.identify(photo, k=3) for photo in photos]


def test_answers_out_of_order_are_put_in_order(connect, address, photos):
    client = connect(address, shrink=False)
    large = encode_large(3000)
    sources = [large if number % 4 == 0 else photo for number, photo in enumerate(photos)]

    assert [outcome.photo for outcome in client.identify_many(sources)] == sources


def test_embed_many_gives_the_vectors_of_embed(client, photos):
    outcomes = list(client.embed_many(photos[:4]))

    assert [outcome.unwrap() for outcome in outcomes] == [client.embed(photo) for photo in photos[:4]]


def test_a_photo_that_fails_has_its_error_and_the_others_go_on(client, photos, tmp_path):
    sources = [photos[0], tmp_path / "none.jpg", b"not a photo", 3, photos[1], bytes(32 * 1024 * 1024 + 1), photos[2]]
    outcomes = list(client.identify_many(sources))

    assert [outcome.error.reason if outcome.error else outcome.result.family for outcome in outcomes] == [
        photos[0].parent.name,
        "NO_SUCH_FILE",
        "NOT_A_PHOTO",
        "UNUSABLE_PHOTO",
        photos[1].parent.name,
        "TOO_MANY_BYTES",
        photos[2].parent.name,
    ]
    assert all(isinstance(outcome.error, PhotoError) for outcome in outcomes if outcome.error)
    with pytest.raises(PhotoError):
        outcomes[1].unwrap()


def test_another_embedder_than_the_expected_is_each_photos_error(connect, address, photos):
    client = connect(address, expected_fingerprint="f" * 64)

    assert [type(outcome.error) for outcome in client.identify_many(photos[:2])] == [PreconditionError] * 2


def test_no_photos_have_no_outcomes(client):
    assert list(client.identify_many([])) == []


def test_arrays_are_photos(client):
    pixels = np.full((2, 80, 90, 3), 120, np.uint8)

    assert all(isinstance(outcome.result, Identification) for outcome in client.identify_many(pixels))


@pytest.mark.parametrize("in_flight", [1, 5])
def test_no_more_is_read_than_may_be_in_flight(client, photos, in_flight):
    counted = Counted(itertools.cycle(photos))
    with closing(client.identify_many(counted, in_flight=in_flight)) as outcomes:
        assert counted.count == 0
        for taken, _ in zip(range(12), outcomes, strict=False):
            assert counted.count <= taken + 1 + in_flight


def test_nothing_is_read_beyond_what_is_in_flight_while_nobody_takes(address, photos):
    counted = Counted(itertools.cycle(photos))
    with Client(address) as client, closing(client.identify_many(counted, in_flight=4)) as outcomes:
        next(outcomes)
        # One was taken, so that five are read and answered; the sixth would follow at once.
        wait_until(lambda: counted.count == 5)
        time.sleep(0.2)

        assert counted.count == 5


def test_one_photo_is_not_many(client, photos):
    for photo in (photos[0], str(photos[0]), photos[0].read_bytes()):
        with pytest.raises(TypeError, match="several photos are expected"):
            client.identify_many(photo)
    with pytest.raises(ValueError, match="in_flight"):
        client.embed_many([], in_flight=0)
    with pytest.raises(ValueError, match="timeout_s"):
        client.embed_many([], timeout_s=0)


def test_what_can_not_be_asked_ends_the_loop_and_holds_nothing_up(client, photos):
    with pytest.raises(ValueError, match="range"):
        list(client.identify_many(photos[:2], k=2**40))


def test_streams_that_are_full_are_followed_by_others(connect, narrow_address, photos):
    outcomes = list(connect(narrow_address).identify_many(photos, in_flight=8))

    assert [outcome.unwrap().family for outcome in outcomes] == [photo.parent.name for photo in photos]
    # Three to a stream.
    assert len({outcome.result.request_id.partition("/")[0] for outcome in outcomes}) == len(photos) / 3


def test_a_stream_that_the_server_ended_for_idleness_is_followed_by_another(connect, narrow_address, photos):
    client = connect(narrow_address)

    def rest():
        for photo in photos[:3]:
            yield photo
            time.sleep(0.5)

    # The async client reads it in the event loop, which is held up as long.
    assert [outcome.unwrap().family for outcome in client.identify_many(rest(), in_flight=1)] == ["amber"] * 3


def test_async_photos_may_come_one_by_one(address, photos):
    async def scenario():
        arrivals: asyncio.Queue[Any] = asyncio.Queue()

        async def arrive():
            while (photo := await arrivals.get()) is not None:
                yield photo

        async with AsyncClient(address) as client, aclosing(client.identify_many(arrive())) as outcomes:
            for photo in photos[:3]:
                arrivals.put_nowait(photo)
                assert (await anext(outcomes)).photo == photo
            arrivals.put_nowait(None)
            assert await anext(outcomes, None) is None

    asyncio.run(scenario())


def test_a_photo_whose_file_keeps_its_reader_waiting_keeps_nobody_else_waiting(address, photos):
    async def scenario():
        let_go = threading.Event()

        class SlowFile(BytesIO):
            def read(self, _size: int | None = -1):
                assert let_go.wait(WAIT_S), "the event loop stood still"
                return photos[0].read_bytes()

        async with AsyncClient(address) as client:
            asyncio.get_running_loop().call_later(0.05, let_go.set)
            assert [outcome.error async for outcome in client.embed_many([SlowFile()])] == [None]

    asyncio.run(scenario())


def test_a_closed_client_says_so_at_once(client):
    client.close()

    with pytest.raises(ClosedClientError):
        client.identify_many([])
