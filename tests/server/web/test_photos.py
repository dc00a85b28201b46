"""Photos over HTTP: the file as it is, thumbnails, and what browsers keep of both."""

import asyncio
import gc
import hashlib
import io

import httpx
import pytest
from PIL import Image
from tests.server.scenarios import run

from beedex.server.errors import LaneFullError, PhotoNotAvailableError
from beedex.server.photofiles import PhotoFiles
from beedex.server.web.pool import MOST_WAITING
from beedex.server.web.thumbnails import Thumbnails


@pytest.fixture(scope="module")
def entry(tiny_searcher):
    return tiny_searcher.view.read(tiny_searcher.view.list_ids())[4]


def test_without_a_size_the_file_comes_as_it_is(http, entry, tiny_gallery):
    reply = http.get(f"/v1/photos/{entry.entry_id}")

    assert reply.content == (tiny_gallery / entry.path).read_bytes()
    assert reply.headers["content-type"] == "image/jpeg"
    assert hashlib.sha256(reply.content).hexdigest() == entry.sha256


@pytest.mark.parametrize("size", [16, 40, 2048])
def test_a_thumbnail_is_no_larger_than_asked(http, entry, size):
    reply = http.get(f"/v1/photos/{entry.entry_id}", params={"size": size})
    sides = Image.open(io.BytesIO(reply.content)).size

    assert reply.headers["content-type"] == "image/jpeg"
    assert max(sides) <= min(size, 120)


@pytest.mark.parametrize("size", ["", "?size=32"])
def test_a_photo_is_kept_by_browsers_under_a_tag_of_its_own(http, entry, size):
    path = f"/v1/photos/{entry.entry_id}{size}"
    first = http.get(path)
    tag = first.headers["etag"]

    assert entry.sha256 in tag
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("size", ["", "?size=32"])
def test_head_tells_of_a_photo_what_get_tells(http, entry, size):
    path = f"/v1/photos/{entry.entry_id}{size}"
    head, get = http.head(path), http.get(path)

    assert head.content == b""
    for name in ("content-length", "content-type", "etag", "cache-control"):
        assert head.headers[name] == get.headers[name]


def test_a_photo_whose_file_is_gone_is_refused(tiny_gallery_copy, web_serving, entry):
    (tiny_gallery_copy / entry.path).write_bytes(b"another")

    async def scenario():
        async with web_serving(gallery_dir=tiny_gallery_copy) as served, httpx.AsyncClient(base_url=served.url) as http:
            for size in ("", "?size=32"):
                error = (await http.get(f"/v1/photos/{entry.entry_id}{size}")).json()["error"]
                assert (error["code"], error["reason"]) == ("NOT_FOUND", "PHOTO_NOT_AVAILABLE")

    run(scenario)


def make_thumbnails(config, most_bytes):
    photos = PhotoFiles(config)
    return photos, Thumbnails(photos, most_bytes=most_bytes)


def test_thumbnails_are_made_once_and_kept_within_bounds(tiny_searcher, server_config):
    entries = tiny_searcher.view.read(tiny_searcher.view.list_ids())

    async def scenario():
        photos, thumbnails = make_thumbnails(server_config, 3000)
        same = await asyncio.gather(*(thumbnails.get(entries[0], 64) for _ in range(5)))
        assert all(one is same[0] for one in same)
        assert await thumbnails.get(entries[0], 64) is same[0]
        for entry in entries:
            await thumbnails.get(entry, 64)
            assert thumbnails.size_bytes <= 3000
        assert await thumbnails.get(entries[0], 64) == same[0]
        photos.close()

    run(scenario)


def test_a_server_that_keeps_no_thumbnails_makes_each_anew(tiny_searcher, server_config):
    entry = tiny_searcher.view.read(tiny_searcher.view.list_ids())[0]

    async def scenario():
        photos, thumbnails = make_thumbnails(server_config, 0)
        first, second = [await thumbnails.get(entry, 64) for _ in range(2)]
        assert first == second
        assert first is not second
        assert thumbnails.size_bytes == 0
        photos.close()

    run(scenario)


async def leave(thumbnails, entry, sides):
    """Ask for thumbnails and go before they are there."""
    callers = [asyncio.create_task(thumbnails.get(entry, side)) for side in sides]
    # The first turn begins the callers, the second what they wait for.
    for _ in range(2):
        await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


def test_thumbnails_that_nobody_waits_for_any_more_still_stand_in_the_line(tiny_searcher, server_config):
    entry = tiny_searcher.view.read(tiny_searcher.view.list_ids())[0]
    sides = range(16, 16 + 2 * MOST_WAITING)

    async def scenario():
        photos, thumbnails = make_thumbnails(server_config, 0)
        await leave(thumbnails, entry, sides[:MOST_WAITING])
        others = (thumbnails.get(entry, side) for side in sides[MOST_WAITING:])
        came = await asyncio.gather(*others, return_exceptions=True)
        assert any(isinstance(one, LaneFullError) for one in came)
        photos.close()

    run(scenario)


def test_a_photo_that_nobody_waits_for_any_more_may_be_missing(tiny_searcher, server_config, tmp_path):
    entry = tiny_searcher.view.read(tiny_searcher.view.list_ids())[0]
    complaints = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        config = server_config.model_copy(update={"gallery_dir": tmp_path, "index_dir": tmp_path})
        photos, thumbnails = make_thumbnails(config, 0)
        await leave(thumbnails, entry, [64])
        with pytest.raises(PhotoNotAvailableError):
            await thumbnails.get(entry, 65)
        gc.collect()
        photos.close()

    run(scenario)
    assert not complaints
