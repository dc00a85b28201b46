"""A large photo that is shrunk before it travels is the same photo to the embedder, and so gets the same answer."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beedex.client import Client, EntryToUpsert, Limits, PhotoError, Status
from beedex.client._photos.intake import ASSUMED_PHOTO_LIMIT_BYTES, LEARN_AGAIN_S, PhotoIntake
from beedex.client._photos.shrinking import is_worth_shrinking, shrink_file, shrink_pixels
from beedex.index.preprocessing import SIDE_PX, prepare
from beedex.training.drawing import draw_gallery

LIMITS = Limits(
    max_photo_bytes=32 * 1024 * 1024,
    max_photo_pixels=64_000_000,
    max_photo_side_px=20_000,
    photo_formats=("JPEG", "PNG", "WEBP"),
    max_k=100,
)

# Of photos turned by 90 degrees: the two passes of the resampling change places, and each rounds to 8 bits.
MOST_LEVELS_WHEN_TURNED = 0.3

LEAST_COSINE = 0.9999


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Drawn bees, enlarged to several megapixels: sides that 8 divides, and sides that nothing does."""
    gallery = tmp_path_factory.mktemp("drawn")
    draw_gallery(gallery, per_family=1, seed=3)
    sizes = [(3200, 2400), (2003, 1501)]
    files = sorted(gallery.rglob("*.jpg"))[: len(sizes)]
    return [
        Image.open(file).convert("RGB").resize(size, Image.Resampling.BICUBIC)
        for file, size in zip(files, sizes, strict=True)
    ]


def save(image, kind, orientation=None, **options):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


WAYS = {
    "JPEG of quality 60": ("JPEG", {"quality": 60}),
    "JPEG of quality 95, whole colours": ("JPEG", {"quality": 95, "subsampling": 0}),
    "progressive JPEG": ("JPEG", {"quality": 85, "progressive": True}),
    "PNG": ("PNG", {"compress_level": 1}),
    "WebP": ("WEBP", {"quality": 80, "method": 0}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_embedder_sees_the_very_pixels_of_a_shrunk_photo(photos, way):
    kind, options = WAYS[way]
    for image in photos:
        file = save(image, kind, **options)
        shrunk = shrink_file(file, SIDE_PX, LIMITS)

        assert len(shrunk) < len(file)
        assert max(Image.open(io.BytesIO(shrunk)).size) == SIDE_PX
        np.testing.assert_array_equal(prepare(shrunk), prepare(file))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_shrunk_photo_is_kept(photos, orientation):
    ways = [("JPEG", {"quality": 95}), ("PNG", {"compress_level": 1}), ("WEBP", {"quality": 95, "method": 0})]
    for kind, options in ways:
        file = save(photos[1].reduce(2), kind, orientation, **options)
        shrunk = shrink_file(file, SIDE_PX, LIMITS)
        seen, expected = prepare(shrunk).astype(int), prepare(file).astype(int)

        assert shrunk != file
        assert np.abs(seen - expected).mean() <= (MOST_LEVELS_WHEN_TURNED if orientation >= 5 else 0)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK"])
def test_a_shrunk_photo_of_another_mode_is_the_same(photos, mode):
    image = photos[0].reduce(4).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = (image if mode in ("LA", "RGBA") else image.convert("RGB")).convert(mode)
    file = save(image, "JPEG" if mode == "CMYK" else "PNG")
    shrunk = shrink_file(file, SIDE_PX, LIMITS)

    assert shrunk != file
    np.testing.assert_array_equal(prepare(shrunk), prepare(file))


def test_pixels_are_shrunk_as_their_file_would_be(photos):
    image = photos[1]
    expected = prepare(save(image, "PNG", compress_level=1))
    for pixels in (np.asarray(image), image):
        shrunk = shrink_pixels(pixels, SIDE_PX, LIMITS)

        assert shrunk is not None
        np.testing.assert_array_equal(prepare(shrunk), expected)


def test_a_turned_image_is_shrunk_upright(photos):
    file = save(photos[0], "JPEG", 6, quality=90)
    with Image.open(io.BytesIO(file)) as opened:
        shrunk = shrink_pixels(opened, SIDE_PX, LIMITS)

    assert shrunk is not None
    difference = prepare(shrunk).astype(int) - prepare(file).astype(int)
    # The server decodes the file at half its size, which is not the same as shrinking all of its pixels.
    assert np.abs(difference).mean() < 1
    assert Image.open(io.BytesIO(shrunk)).height == SIDE_PX


def test_a_small_photo_is_not_touched_and_none_is_enlarged(photos):
    tiny = save(photos[0].resize((SIDE_PX, 200)), "PNG", compress_level=0)

    assert not is_worth_shrinking(bytes(3 * SIDE_PX * SIDE_PX), SIDE_PX)
    assert is_worth_shrinking(bytes(3 * SIDE_PX * SIDE_PX + 1), SIDE_PX)
    assert shrink_file(tiny, SIDE_PX, LIMITS) is tiny
    assert shrink_pixels(np.zeros((200, SIDE_PX, 3), np.uint8), SIDE_PX, LIMITS) is None


def test_a_photo_that_would_grow_stays_as_it_is(photos):
    blurred = save(photos[1].resize((310, 310)), "JPEG", quality=10)

    assert shrink_file(blurred, SIDE_PX, LIMITS) is blurred


def spoil(file):
    """Files that only look like photos, or that the server refuses without decoding them."""
    yield "cut off", file[: len(file) // 2]
    yield "no photo", b"\xff\xd8\xff" + bytes(1000)
    yield "another format", save(Image.new("RGB", (900, 900)), "BMP")
    yield "nothing", b""
    yield "16 bits", save(Image.new("I;16", (900, 900), 40_000), "PNG")
    # All but the number of scans is right.
    yield "too many scans", file + b"\xff\xda" * 1001
    yield "too many pixels", save(Image.new("L", (8_500, 8_500)), "PNG", compress_level=1)
    yield "too long a side", save(Image.new("L", (20_001, 8)), "PNG")


def test_what_cannot_be_shrunk_travels_as_it_is_for_the_server_to_judge(photos):
    for kind, file in spoil(save(photos[0], "JPEG", quality=95)):
        assert shrink_file(file, SIDE_PX, LIMITS) is file, kind


def test_a_shrunk_photo_is_of_a_format_that_the_server_takes(photos):
    file = save(photos[0].reduce(2), "JPEG")
    for formats, kind in (
        (("JPEG", "WEBP"), "WEBP"),
        (("JPEG", "PNG"), "PNG"),
        (("JPEG",), "JPEG"),
        (("PNG",), "JPEG"),
    ):
        shrunk = shrink_file(file, SIDE_PX, replace(LIMITS, photo_formats=formats))

        assert Image.open(io.BytesIO(shrunk)).format == kind
        assert (shrunk is file) == (kind == "JPEG")


def make_status(**changes):
    values = {
        "server_version": "",
        "dimension": 32,
        "backbone": "",
        "weights": "",
        "weights_note": "",
        "input_side_px": SIDE_PX,
        "calibrated": True,
        "entries": 1,
        "families": 1,
        "index_kind": "flat",
        "limits": LIMITS,
        "fingerprint": "",
        "snapshot": 1,
    }
    return Status(**{**values, **changes})


def test_a_limit_that_was_raised_meanwhile_is_learned_by_a_photo_that_it_would_refuse():
    times = count(step=LEARN_AGAIN_S)
    intake = PhotoIntake(shrink=False, now=lambda: next(times))
    intake.learn(make_status(limits=replace(LIMITS, max_photo_bytes=1000)))

    assert intake.needs_status(bytes(1001))
    assert not intake.needs_status(bytes(1000))


def test_what_an_upsert_sends_asks_for_the_limit_where_a_shrunk_photo_would_not():
    times = iter([0.0, 1.0, 1.0])
    intake = PhotoIntake(shrink=True, now=lambda: next(times))
    intake.learn(make_status(limits=replace(LIMITS, max_photo_bytes=400_000)))
    large = bytes(500_000)

    assert not intake.needs_status(large)
    assert intake.needs_status(large, shrink=False)


def test_the_server_is_asked_for_its_needs_by_the_first_large_photo_and_again_after_a_while():
    times = count(step=LEARN_AGAIN_S / 2)
    intake = PhotoIntake(shrink=True, now=lambda: next(times))
    large = bytes(300_000)

    assert not intake.needs_status(b"small")
    assert intake.needs_status(large)
    intake.learn(make_status())
    assert not intake.needs_status(large)
    assert intake.needs_status(large)


def test_without_shrinking_only_the_limit_is_asked_for():
    intake = PhotoIntake(shrink=False)

    assert not intake.needs_status(bytes(ASSUMED_PHOTO_LIMIT_BYTES))
    assert intake.needs_status(bytes(ASSUMED_PHOTO_LIMIT_BYTES + 1))
    intake.learn(make_status(limits=replace(LIMITS, max_photo_bytes=10)))
    with pytest.raises(PhotoError, match="expected at most 10 bytes") as caught:
        intake.pack(bytes(11))
    assert caught.value.reason == "TOO_MANY_BYTES"


def test_nothing_is_shrunk_for_a_server_that_does_not_say_what_it_needs_nor_where_the_photo_itself_is_wanted(photos):
    file = save(photos[0], "JPEG")
    intake = PhotoIntake(shrink=True)
    intake.learn(make_status(input_side_px=0))
    assert intake.pack(file) is file

    intake.learn(make_status())
    assert intake.pack(file, shrink=False) is file
    assert len(intake.pack(file)) < len(file)


def judge(shrinking, plain, file):
    """Compare what the server says of a photo with what it says of the photo that is shrunk."""
    assert shrinking.embed(file).vector @ plain.embed(file).vector >= LEAST_COSINE
    answer, expected = shrinking.identify(file, k=1), plain.identify(file, k=1)
    assert (answer.verdict, answer.candidates) == (expected.verdict, expected.candidates)
    assert answer.neighbors[0].entry_id == expected.neighbors[0].entry_id


def test_the_answer_is_the_same_whether_the_photo_is_shrunk_or_not(connect, address, photos):
    shrinking, plain = connect(address), connect(address, shrink=False)
    for image, orientation in zip(photos, (1, 6), strict=True):
        judge(shrinking, plain, save(image, "JPEG", orientation, quality=90))
    judge(shrinking, plain, save(photos[1], "PNG", compress_level=1))


def test_what_is_put_into_the_index_is_the_photo_itself(served_index, server_process, tmp_path, photos):
    index = shutil.copytree(served_index, tmp_path / "index")
    file = save(photos[0], "JPEG", quality=95)
    assert is_worth_shrinking(file, SIDE_PX)
    with server_process(index, tmp_path) as (_, address), Client(address) as client:
        (outcome,) = client.upsert([EntryToUpsert(photo=file, family="mason")])
        entry = outcome.unwrap()

        assert entry.entry_id == hashlib.sha256(file).hexdigest()[:16]
        assert client.photo(entry.entry_id).content == file


@pytest.mark.shared
def test_the_answer_for_a_real_photo_is_the_same_whether_it_is_shrunk_or_not(address):
    folder = os.environ.get("BEEDEX_SHARED_PHOTOS")
    if not folder:
        pytest.skip("BEEDEX_SHARED_PHOTOS names no folder of real photos")
    files = sorted(Path(folder).rglob("*.jpg"))[::30]
    with Client(address) as shrinking, Client(address, shrink=False) as plain:
        for file in files:
            with Image.open(file) as image:
                enlarged = image.convert("RGB").resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC)
            judge(shrinking, plain, save(enlarged, "JPEG", quality=88))


def test_without_pillow_photos_and_arrays_travel_as_they_are(address, photos, tmp_path):
    path = tmp_path / "bee.jpg"
    path.write_bytes(save(photos[0].reduce(2), "JPEG", quality=95, subsampling=0))
    assert path.stat().st_size > 3 * SIDE_PX * SIDE_PX
    code = """
import json, sys
sys.modules["PIL"] = None  # as if it weren't installed
import numpy as np
from beedex.client import Client
with Client(sys.argv[1]) as client:
    by_file = client.embed(sys.argv[2])
    by_array = client.embed(np.full((900, 900, 3), 120, np.uint8))
print(json.dumps([by_file.to_dict(), by_array.to_dict()]))
"""
    command = [sys.executable, "-c", code, address, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    by_file, by_array = json.loads(done.stdout)
    with Client(address) as client:
        assert client.embed(path).vector @ np.array(by_file["vector"]) >= LEAST_COSINE
        gray = client.embed(np.full((900, 900, 3), 120, np.uint8))
        assert gray.vector @ np.array(by_array["vector"]) >= LEAST_COSINE
