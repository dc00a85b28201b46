"""Showing indexed photos: the very file or a smaller picture of it, and nothing else whatever an index says."""

import asyncio
import hashlib
import io
import logging
import os
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from beedex.index.changes import locate_photo
from beedex.index.entries import Entry
from beedex.index.photos import decode
from beedex.index.rebuild import build_index
from beedex.server.config import LimitsConfig, ServerConfig
from beedex.server.errors import PhotoNotAvailableError
from beedex.server.photofiles import CHUNK_BYTES, PIECE_BYTES, PhotoFiles
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

# Less than a photo lies between server and caller, of which gRPC otherwise keeps more and more.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))

EXIF_ORIENTATION = 0x0112
TURNED_RIGHT = 6


def encode(pixels, kind="PNG", **how):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


def draw_noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def name_entry(data, path):
    return Entry(sha256=hashlib.sha256(data).hexdigest(), family="amber", path=path)


@pytest.fixture
def home(tmp_path):
    """An index, a gallery and what is outside of both."""
    for name in ("index", "gallery", "outside"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def photo():
    return encode(draw_noise(60, 40))


def show(home, entry, *, max_side_px=None, gallery=True, limits=None):
    """Return what is shown: media type, size, sha256 and chunks."""
    config = ServerConfig(
        index_dir=home / "index", gallery_dir=home / "gallery" if gallery else None, limits=limits or LimitsConfig()
    )
    files = PhotoFiles(config)

    async def scenario():
        async with files.show(entry, max_side_px=max_side_px) as shown:
            return shown, [chunk async for chunk in shown.chunks]

    try:
        shown, chunks = asyncio.run(scenario())
    finally:
        files.close()
    data = b"".join(chunks)
    assert (shown.size_bytes, shown.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
    return shown.media_type, data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_of_the_gallery_is_shown_as_it_is(home, kind):
    data = encode(draw_noise(60, 40), kind)
    (home / "gallery/bee").write_bytes(data)

    assert show(home, name_entry(data, "bee")) == (f"image/{kind.lower()}", data)


def test_a_large_photo_comes_in_chunks(home):
    data = encode(draw_noise(700, 700))
    (home / "gallery/bee.png").write_bytes(data)

    assert len(data) > PIECE_BYTES
    assert show(home, name_entry(data, "bee.png"))[1] == data


def test_the_copy_that_the_index_keeps_is_shown_without_a_gallery(home, photo):
    entry = name_entry(photo, "anything")
    copy = locate_photo(home / "index", entry.sha256)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(photo)

    assert show(home, entry, gallery=False)[1] == photo


def test_a_damaged_copy_gives_way_to_the_gallery(home, photo):
    entry = name_entry(photo, "bee.png")
    copy = locate_photo(home / "index", entry.sha256)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(photo[:-1])
    (home / "gallery/bee.png").write_bytes(photo)

    assert show(home, entry)[1] == photo


@pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 300), (5000, 20), (40, 30)])
def test_a_shrunk_photo_is_a_jpeg_of_at_most_that_side_and_the_same_shape(home, height, width):
    data = encode(draw_noise(height, width))
    (home / "gallery/bee.png").write_bytes(data)
    media_type, shrunk = show(home, name_entry(data, "bee.png"), max_side_px=64)
    pixels = decode(shrunk)
    scale = min(1, 64 / max(height, width))

    assert media_type == "image/jpeg"
    assert pixels.shape[:2] == (max(1, round(height * scale)), max(1, round(width * scale)))


def test_a_shrunk_photo_is_upright(home):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40] = 255  # turned to the right, the left half is at the top
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TURNED_RIGHT
    data = encode(pixels, "JPEG", exif=exif)
    (home / "gallery/bee.jpg").write_bytes(data)
    shrunk = decode(show(home, name_entry(data, "bee.jpg"), max_side_px=64)[1])

    assert shrunk.shape == (64, 32, 3)
    assert shrunk[:28].min() > 200
    assert shrunk[36:].max() < 60


def test_a_photo_beyond_the_limits_is_shown_but_not_decoded(home):
    data = encode(draw_noise(60, 40))
    (home / "gallery/bee.png").write_bytes(data)
    limits = LimitsConfig(max_photo_pixels=100)

    assert show(home, name_entry(data, "bee.png"), limits=limits)[1] == data
    with pytest.raises(PhotoNotAvailableError, match="2400 pixels"):
        show(home, name_entry(data, "bee.png"), max_side_px=16, limits=limits)


def test_a_file_that_is_gone_or_another_by_now_is_not_available(home, photo):
    entry = name_entry(photo, "bee.png")
    with pytest.raises(PhotoNotAvailableError, match="its file is gone"):
        show(home, entry)

    (home / "gallery/bee.png").write_bytes(photo + b"changed")
    for side in (None, 64):
        with pytest.raises(PhotoNotAvailableError, match="holds another photo") as caught:
            show(home, entry, max_side_px=side)
        assert caught.value.reason == "PHOTO_NOT_AVAILABLE"


def test_without_a_gallery_a_photo_is_not_available(home, photo):
    (home / "gallery/bee.png").write_bytes(photo)

    with pytest.raises(PhotoNotAvailableError, match="was not told where the gallery is"):
        show(home, name_entry(photo, "bee.png"), gallery=False)


def test_links_within_the_gallery_are_followed(home, photo):
    (home / "gallery/photos").mkdir()
    (home / "gallery/photos/bee.png").write_bytes(photo)
    (home / "gallery/linked").symlink_to("photos")

    assert show(home, name_entry(photo, "linked/bee.png"))[1] == photo


def link_file(home: Path) -> str:
    (home / "gallery/link.png").symlink_to(home / "outside/secret.png")
    return "link.png"


def link_folder(home: Path) -> str:
    (home / "gallery/folder").symlink_to(home / "outside")
    return "folder/secret.png"


def link_circle(home: Path) -> str:
    (home / "gallery/one").symlink_to("two")
    (home / "gallery/two").symlink_to("one")
    return "one"


def make_pipe(home: Path) -> str:
    os.mkfifo(home / "gallery/pipe")
    return "pipe"


# Each leads to a file outside of the gallery that holds the very photo, or to what is no file.
HOSTILE_PATHS = {
    "upwards": lambda _home: "../outside/secret.png",
    "upwards from a folder": lambda _home: "family/../../outside/secret.png",
    "absolute": lambda home: str(home / "outside/secret.png"),
    "a link to a file": link_file,
    "a link to a folder": link_folder,
    "a circle of links": link_circle,
    "a pipe": make_pipe,
    "a device": lambda _home: "/dev/zero",
    "a folder": lambda _home: ".",
    "nothing": lambda _home: "",
    "a null byte": lambda _home: "bee\0.png",
    "a long name": lambda _home: "x" * 5000,
    "half a character": lambda _home: "bee\udcff.png",
}


@pytest.mark.parametrize("name", HOSTILE_PATHS)
def test_no_path_leads_out_of_the_gallery(home, photo, name):
    (home / "gallery/family").mkdir()
    (home / "outside/secret.png").write_bytes(photo)
    entry = name_entry(photo, HOSTILE_PATHS[name](home))

    for side in (None, 64):
        with pytest.raises(PhotoNotAvailableError):
            show(home, entry, max_side_px=side)


@pytest.mark.parametrize("sha256", ["../../outside/secret.png", "/dev/zero", "", "A" * 64, "0" * 63 + "\n"])
def test_a_sha256_that_is_none_leads_nowhere(home, photo, sha256):
    (home / "outside/secret.png").write_bytes(photo)

    with pytest.raises(PhotoNotAvailableError):
        show(home, Entry(sha256=sha256, family="amber", path="bee.png"))


def test_a_file_that_is_written_to_while_it_is_sent_is_never_sent_to_its_end(home):
    data = encode(draw_noise(1200, 1200))
    path = home / "gallery/bee.png"
    path.write_bytes(data)
    files = PhotoFiles(ServerConfig(index_dir=home / "index", gallery_dir=home / "gallery"))
    received = bytearray()

    async def scenario():
        async with files.show(name_entry(data, "bee.png"), max_side_px=None) as shown:
            async for chunk in shown.chunks:
                received.extend(chunk)
                with path.open("r+b") as file:
                    file.seek(len(data) - 10)
                    file.write(b"0123456789")

    with pytest.raises(PhotoNotAvailableError, match="has just changed"):
        asyncio.run(scenario())
    files.close()
    assert 0 < len(received) < len(data)


def test_what_is_not_read_to_its_end_is_closed(home):
    data = encode(draw_noise(1200, 1200))
    (home / "gallery/bee.png").write_bytes(data)
    files = PhotoFiles(ServerConfig(index_dir=home / "index", gallery_dir=home / "gallery"))
    entry = name_entry(data, "bee.png")

    def list_open():
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [link for link in links if link.readlink().name == "bee.png"]

    async def scenario():
        async with files.show(entry, max_side_px=None) as shown:
            await anext(shown.chunks)
            opened = list_open()
        for _ in range(20):
            showing = asyncio.create_task(files._open_apart(entry))
            await asyncio.sleep(0)
            showing.cancel()
            await asyncio.wait({showing})
        # The threads that were under way end here.
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)
        return opened, list_open()

    opened, left = asyncio.run(scenario())
    files.close()

    assert len(opened) == 1
    assert left == []


def test_a_photo_is_fetched_over_the_wire_with_what_is_known_of_it(serving, tiny_gallery):
    path = min((tiny_gallery / "blue").glob("*.jpg"))

    async def scenario():
        async with (
            serving(gallery_dir=tiny_gallery) as (address, _, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = search_pb2_grpc.SearchServiceStub(channel)
            query = types_pb2.Query(photo=path.read_bytes())
            found = await stub.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=query, k=1))
            (neighbor,) = found.neighbors
            request = search_pb2.GetPhotoRequest(entry_id=neighbor.entry.entry_id)
            whole = [reply async for reply in stub.GetPhoto(request)]
            request.max_side_px = 32
            shrunk = [reply async for reply in stub.GetPhoto(request)]
        return neighbor.entry, found.origin, whole, shrunk

    entry, origin, whole, shrunk = asyncio.run(scenario())
    header = whole[0].header

    assert (header.entry, header.media_type) == (entry, "image/jpeg")
    assert b"".join(reply.chunk for reply in whole[1:]) == path.read_bytes()
    assert (header.size_bytes, header.sha256[:16]) == (path.stat().st_size, entry.entry_id)
    assert all(reply.origin == origin for reply in [*whole, *shrunk])
    data = b"".join(reply.chunk for reply in shrunk[1:])
    assert max(decode(data).shape) == 32
    assert (shrunk[0].header.size_bytes, shrunk[0].header.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_callers_who_go_away_while_a_photo_is_sent_are_no_fault(serving, tiny_bundle, home, caplog):
    data = encode(draw_noise(1200, 1200))
    (home / "gallery/amber").mkdir()
    (home / "gallery/amber/bee.png").write_bytes(data)
    build_index(home / "gallery", tiny_bundle, home / "index")
    request = search_pb2.GetPhotoRequest(entry_id=hashlib.sha256(data).hexdigest()[:16])

    async def scenario():
        async with (
            serving(index_dir=home / "index", gallery_dir=home / "gallery") as (address, _, _),
            grpc.aio.insecure_channel(address, SMALL_WINDOW) as channel,
        ):
            stub = search_pb2_grpc.SearchServiceStub(channel)
            for _ in range(50):
                call = stub.GetPhoto(request)
                await call.read()
                await call.read()
                call.cancel()

    asyncio.run(scenario())

    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
