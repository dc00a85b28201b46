"""What a notebook shows of an answer: all of it in the page itself, escaped, with photos where they can be had."""

import asyncio
import base64
import io
import pickle
import re
import socket
from concurrent import futures
from dataclasses import replace
from html.parser import HTMLParser

import grpc
import pytest
from PIL import Image

from beedex.client import AsyncClient, Client, Families, Family, Verdict
from beedex.client._connections.channel import ChannelConfig
from beedex.client._results.result import illustrate
from beedex.client._results.thumbnails import MOST_BYTES, SIDE_PX, Thumbnails
from beedex.server.access.roles import Role
from beedex.server.access.tokens import Holder, add_holder, hash_token
from beedex.v1 import search_pb2, search_pb2_grpc

SECRET = "beedex_a-secret"  # noqa: S105 - of nobody

JPEG = "data:image/jpeg;base64,"

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"

TAGS = {"style", "div", "span", "figure", "figcaption", "img", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "style", "title", "alt", "src"}


class Page(HTMLParser):
    """What a browser would make of the HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def photos(self):
        return [value for name, value in self.attributes if name == "src"]


@pytest.fixture(scope="module")
def photo(tiny_gallery):
    return min(tiny_gallery.rglob("*.jpg"))


@pytest.fixture(scope="module")
def answer(address, photo):
    """An identification of a client that is closed."""
    with Client(address) as client:
        return client.identify(photo, k=3)


def read(html):
    """Parse a page, and hold that it is whole and stands alone."""
    page = Page(html)
    assert page.open == []
    assert set(page.tags) <= TAGS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert all(photo.startswith(JPEG) for photo in page.photos)
    assert not re.search(r"url\(|@import", html)
    return page


def test_an_identification_is_shown_with_verdict_families_and_photos_though_its_client_is_closed(answer):
    page = read(answer._repr_html_())

    assert page.texts[:2] == ["MATCH", answer.family]
    assert {score.family for score in answer.families} <= set(page.texts)
    assert f"{answer.probability:.1%}" in page.texts
    assert len(page.photos) == 3
    for photo in page.photos:
        with Image.open(io.BytesIO(base64.b64decode(photo.removeprefix(JPEG)))) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= SIDE_PX


def test_neighbors_of_an_async_client_are_shown_while_its_loop_runs(address, photo):
    async def scenario():
        async with AsyncClient(address) as client:
            return (await client.neighbors(photo, k=2))._repr_html_()

    assert len(read(asyncio.run(scenario())).photos) == 2


def test_photos_are_fetched_with_the_clients_token(served_index, server_process, tiny_gallery, photo, tmp_path):
    add_holder(tmp_path / "tokens", Holder(name="ann", role=Role.READER, digest=hash_token(SECRET)))
    options = ("--gallery", tiny_gallery, "--tokens", tmp_path / "tokens")
    with server_process(served_index, tmp_path, *options) as (_, address):
        with Client(address, token=SECRET) as client:
            answer = client.neighbors(photo, k=2)
        page = read(answer._repr_html_())
        stranger = read(illustrate(replace(answer), Thumbnails(ChannelConfig(target=address)))._repr_html_())

    assert (len(page.photos), len(stranger.photos)) == (2, 0)


def test_an_answer_out_of_a_pickle_is_shown_as_a_table(answer):
    page = read(pickle.loads(pickle.dumps(answer))._repr_html_())  # noqa: S301 - our own

    assert page.photos == []
    assert {neighbor.path for neighbor in answer.neighbors} <= set(page.texts)


def test_a_photo_that_is_gone_leaves_a_gap(address, answer):
    gone = replace(answer.neighbors[0], entry_id="0" * 16)
    neighbors = replace(answer.neighbors, rows=(gone, *answer.neighbors[1:]))
    page = read(illustrate(neighbors, Thumbnails(ChannelConfig(target=address)))._repr_html_())

    assert len(page.photos) == 2
    assert ("class", "gap") in page.attributes


def test_without_a_server_an_answer_is_shown_as_a_table(answer, dead_address):
    html = illustrate(replace(answer.neighbors), Thumbnails(ChannelConfig(target=dead_address)))._repr_html_()

    assert read(html).tags.count("tr") == 1 + len(answer.neighbors)


def test_a_server_that_never_answers_is_not_waited_for(answer):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = ChannelConfig(target=f"127.0.0.1:{silent.getsockname()[1]}")

        assert Thumbnails(config, timeout_s=0.2).fetch([row.entry_id for row in answer.neighbors]) == {}


class Rogue(search_pb2_grpc.SearchServiceServicer):
    """A server that sends what is no thumbnail."""

    def GetPhoto(self, request, context):  # noqa: N802, ARG002 - the protocol's names
        kind = "image/svg+xml" if request.entry_id == "drawing" else "image/jpeg"
        yield search_pb2.GetPhotoResponse(header=search_pb2.PhotoHeader(media_type=kind))
        for _ in range(1 if request.entry_id == "small" else 9):
            yield search_pb2.GetPhotoResponse(chunk=bytes(MOST_BYTES // 8))


def test_what_is_no_small_jpeg_does_not_get_into_the_page():
    server = grpc.server(futures.ThreadPoolExecutor(4))
    search_pb2_grpc.add_SearchServiceServicer_to_server(Rogue(), server)  # type: ignore[abstract]  # the rest isn't called
    config = ChannelConfig(target=f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    try:
        assert Thumbnails(config).fetch(["small", "drawing", "large"]) == {"small": bytes(MOST_BYTES // 8)}
    finally:
        server.stop(None)


@pytest.mark.parametrize("with_photos", [True, False])
def test_the_words_of_a_gallery_are_only_words(answer, with_photos):
    rows = tuple(
        replace(row, family=HOSTILE, path=HOSTILE, credit=HOSTILE, species=HOSTILE) for row in answer.neighbors
    )
    scores = (replace(answer.families[0], family=HOSTILE), *answer.families[1:])
    neighbors = replace(answer.neighbors, rows=rows)
    hostile = replace(answer, family=HOSTILE, candidates=(HOSTILE,), reason=HOSTILE, families=scores)
    hostile = replace(hostile, neighbors=neighbors, fingerprint=HOSTILE)
    if with_photos:
        illustrate(hostile, answer._thumbnails)
    page = read(hostile._repr_html_())

    assert len(page.photos) == (3 if with_photos else 0)
    assert page.texts.count(HOSTILE) >= 3
    assert all(name != "onerror" for name, _ in page.attributes)


@pytest.mark.parametrize(
    ("verdict", "candidates", "names"),
    [(Verdict.AMBIGUOUS, ("amber", "blue"), "amber or blue"), (Verdict.UNKNOWN, (), "no family")],
)
def test_a_verdict_names_what_it_names(answer, verdict, candidates, names):
    other = replace(answer, verdict=verdict, family=None, candidates=candidates)

    assert read(other._repr_html_()).texts[:2] == [verdict, names]


def test_a_photo_of_the_index_is_shown_with_what_is_known_of_it(address, answer):
    with Client(address) as client:
        photo = client.photo(answer.neighbors[0].entry_id)
    page = read(photo._repr_html_())

    assert [base64.b64decode(source.removeprefix(JPEG)) for source in page.photos] == [photo.content]
    assert photo.entry.path in "".join(page.texts)
    assert read(replace(photo, content=bytes(2 * 1024 * 1024))._repr_html_()).photos == []
    assert read(replace(photo, media_type="image/svg+xml")._repr_html_()).photos == []


def test_a_long_list_is_cut_and_says_so():
    families = tuple(Family(name=f"family {number}", entries=1) for number in range(70))
    page = read(Families(rows=families, fingerprint="", snapshot=1)._repr_html_())

    assert page.texts.count("1") == 50
    assert "and 20 more" in page.texts
