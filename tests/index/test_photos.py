"""Every kind of file that `decode` meets, written by Pillow or byte by byte, and every way it can be wrong."""

import io
import os
import resource
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from beedex.index.errors import PhotoError, PhotoReason
from beedex.index.photos import MAX_JPEG_SCANS, SCAN_MARKER, PhotoLimits, decode, read_photo

SHARED_PHOTOS = os.environ.get("BEEDEX_SHARED_PHOTOS")

# Stored pixels -> upright pixels, from the words of the EXIF standard ("row 0 is the visual right side ...").
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


def draw_scene(height, width):
    """(H, W, 3) smooth colours that differ at each corner, so that every turn shows."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    return np.stack([red, green, np.full_like(red, 90)], axis=2).astype(np.uint8)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def encode_png(rows, *, bits, colour, size, extra=()):
    """A PNG of any bit depth and colour type; Pillow writes no 16-bit colour. *rows*: an iterable of bytes."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packer = zlib.compressobj()
    body = b"".join(packer.compress(b"\0" + row) for row in rows) + packer.flush()
    head = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def tag_orientation(value, order="<"):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)


def refuse(data, **options):
    with pytest.raises(PhotoError) as caught:
        decode(data, **options)
    return caught.value


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_decode_to_their_pixels(kind, options):
    scene = draw_scene(37, 52)

    decoded = decode(encode(scene, kind, **options))

    np.testing.assert_array_equal(decoded, scene)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_decode_close_to_their_pixels(kind, options):
    scene = draw_scene(120, 80)

    difference = np.abs(decode(encode(scene, kind, quality=95, **options)).astype(int) - scene)

    assert difference.mean() < 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation, order):
    stored = draw_scene(48, 96)
    data = encode(stored, kind, quality=95, exif=tag_orientation(orientation, order))

    decoded = decode(data)

    upright = TURNS[orientation](stored)
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_is_applied_to_a_reduced_photo(orientation):
    data = encode(draw_scene(480, 960), "JPEG", exif=tag_orientation(orientation))

    decoded = decode(data, needed_side_px=50)

    upright = TURNS[orientation](draw_scene(120, 240))
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0nonsense, and no TIFF header",
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, 60000),
        tag_orientation(0),
        tag_orientation(9),
        tag_orientation(6).replace(struct.pack("<HH", 0x0112, 3), struct.pack("<HH", 0x0112, 2)),
    ],
)
def test_damaged_exif_leaves_a_photo_as_it_lies(exif):
    assert decode(encode(draw_scene(8, 20), "JPEG", exif=exif)).shape == (8, 20, 3)


def test_cmyk_jpeg_decodes_to_its_colours():
    scene = Image.fromarray(draw_scene(64, 64))

    decoded = decode(encode(scene.convert("CMYK"), "JPEG", quality=98))

    assert np.abs(decoded.astype(int) - np.asarray(scene)).mean() < 3


def test_cmyk_jpeg_decodes_reduced_and_upright():
    scene = Image.fromarray(draw_scene(400, 800)).convert("CMYK")
    data = encode(scene, "JPEG", quality=98, exif=tag_orientation(6))

    decoded = decode(data, needed_side_px=60)

    assert decoded.shape == (200, 100, 3)
    assert np.abs(decoded.astype(int) - TURNS[6](draw_scene(100, 200))).mean() < 4


def test_palette_decodes_to_its_colours():
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])

    np.testing.assert_array_equal(
        decode(encode(image)), [[[200, 10, 10], [10, 200, 10]], [[10, 10, 200], [10, 200, 10]]]
    )


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_transparent_palette_entry_becomes_white(transparency):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])

    decoded = decode(encode(image, transparency=transparency))

    np.testing.assert_array_equal(decoded, [[[200, 10, 10], [255, 255, 255], [10, 10, 200]]])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_gray_decodes_to_three_equal_channels(kind):
    decoded = decode(encode(np.full((16, 16), 77, np.uint8), kind))

    assert decoded.shape == (16, 16, 3)
    assert np.abs(decoded.astype(int) - 77).max() <= 2


def test_gray_with_alpha_is_laid_on_white():
    image = Image.merge("LA", [Image.new("L", (1, 1), 100), Image.new("L", (1, 1), 51)])

    # A fifth of 100 and four fifths of 255.
    np.testing.assert_array_equal(decode(encode(image)), [[[224, 224, 224]]])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_on_white(kind):
    pixels = np.array([[[255, 0, 0, 255], [0, 0, 255, 0], [0, 0, 0, 102]]], np.uint8)

    decoded = decode(encode(pixels, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))

    np.testing.assert_array_equal(decoded, [[[255, 0, 0], [255, 255, 255], [153, 153, 153]]])


def test_transparent_colour_of_an_rgb_png_becomes_white():
    data = encode_png(
        [bytes([1, 2, 3, 4, 5, 6])], bits=8, colour=2, size=(2, 1), extra=[(b"tRNS", struct.pack(">HHH", 4, 5, 6))]
    )

    np.testing.assert_array_equal(decode(data), [[[1, 2, 3], [255, 255, 255]]])


def test_16_bit_gray_is_scaled_not_clipped():
    values = np.array([[0, 255, 256, 32768, 65279, 65535]], np.uint16)

    decoded = decode(encode(values))

    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 128, 254, 255])
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])


def test_16_bit_gray_with_a_transparent_value_is_laid_on_white():
    row = struct.pack(">HH", 1000, 40000)
    data = encode_png([row], bits=16, colour=0, size=(2, 1), extra=[(b"tRNS", struct.pack(">H", 1000))])

    np.testing.assert_array_equal(decode(data)[0, :, 0], [255, 40000 >> 8])


@pytest.mark.parametrize(
    ("colour", "row", "expected"),
    [
        (2, (65535, 32768, 256), [255, 128, 1]),
        (4, (32768, 65535), [128, 128, 128]),
        (6, (65535, 32768, 256, 65535), [255, 128, 1]),
        (6, (65535, 32768, 256, 0), [255, 255, 255]),
    ],
)
def test_16_bit_colour_and_alpha_keep_their_high_byte(colour, row, expected):
    data = encode_png([struct.pack(f">{len(row)}H", *row)], bits=16, colour=colour, size=(1, 1))

    np.testing.assert_array_equal(decode(data), [[expected]])


@pytest.mark.parametrize(("bits", "expected"), [(1, [0, 255]), (2, [0, 85]), (4, [0, 17])])
def test_few_bits_of_gray_are_spread_over_the_range(bits, expected):
    data = encode_png([bytes([1 << (8 - 2 * bits)])], bits=bits, colour=0, size=(2, 1))

    np.testing.assert_array_equal(decode(data)[0, :, 1], expected)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]

    decoded = decode(encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True))

    np.testing.assert_array_equal(decoded, np.full((10, 20, 3), [255, 0, 0]))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photos_one_pixel_wide_decode(kind, size):
    data = encode(Image.new("RGB", size, (40, 50, 60)), kind)

    assert decode(data, needed_side_px=10).shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("needed_side_px", "side_px"),
    [(None, 960), (321, 960), (320, 960), (160, 480), (81, 480), (80, 240), (40, 120), (1, 120)],
)
def test_jpeg_is_reduced_to_at_least_three_times_the_need(needed_side_px, side_px):
    data = encode(draw_scene(640, 960), "JPEG")

    assert decode(data, needed_side_px=needed_side_px).shape == (side_px * 2 // 3, side_px, 3)


@pytest.mark.parametrize(
    ("size", "expected"), [((960, 642), (480, 321)), ((960, 644), (240, 161)), ((961, 640), (961, 640))]
)
def test_jpeg_is_reduced_only_by_what_divides_both_sides(size, expected):
    data = encode(Image.new("RGB", size), "JPEG")

    assert decode(data, needed_side_px=1).shape == (*expected[::-1], 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_never_reduced(kind):
    assert decode(encode(Image.new("RGB", (960, 640)), kind), needed_side_px=1).shape == (640, 960, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", PhotoReason.EMPTY),
        (b"\0", PhotoReason.NOT_A_PHOTO),
        (b"just some text, no photo", PhotoReason.NOT_A_PHOTO),
        (b"RIFF\x24\0\0\0WAVEfmt ", PhotoReason.NOT_A_PHOTO),
        (bytes(range(200)), PhotoReason.NOT_A_PHOTO),
        (encode(Image.new("RGB", (9, 9)), "GIF"), PhotoReason.UNSUPPORTED_FORMAT),
        (encode(Image.new("RGB", (9, 9)), "TIFF"), PhotoReason.UNSUPPORTED_FORMAT),
        (encode(Image.new("RGB", (9, 9)), "BMP"), PhotoReason.UNSUPPORTED_FORMAT),
        (encode(Image.new("RGB", (9, 9)), "AVIF"), PhotoReason.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", PhotoReason.UNSUPPORTED_FORMAT),
        (b"%PDF-1.7\n", PhotoReason.UNSUPPORTED_FORMAT),
        (b"\xff\xd8\xff\xe0", PhotoReason.DAMAGED),
        (b"\x89PNG\r\n\x1a\n", PhotoReason.DAMAGED),
        (b"RIFF\x24\0\0\0WEBP", PhotoReason.DAMAGED),
        (b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0" + bytes(24), PhotoReason.DAMAGED),
        (encode_png([], bits=8, colour=0, size=(0, 0)), PhotoReason.DAMAGED),
        (encode_png([], bits=8, colour=0, size=(9, 9)), PhotoReason.DAMAGED),
    ],
)
def test_what_is_no_photo_is_refused_with_its_reason(data, reason):
    error = refuse(data)

    assert error.reason is reason
    assert "\n" not in str(error)


@pytest.mark.parametrize("needed_side_px", [None, 20])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})]
)
def test_cut_off_photo_is_damaged(kind, options, share, needed_side_px):
    noise = np.random.default_rng(0).integers(0, 256, (200, 320, 3), dtype=np.uint8)
    data = encode(noise, kind, **options)

    assert refuse(data[: int(len(data) * share)], needed_side_px=needed_side_px).reason is PhotoReason.DAMAGED


def test_format_outside_the_limits_is_unsupported():
    error = refuse(encode(Image.new("RGB", (9, 9)), "WEBP"), limits=PhotoLimits(formats=("JPEG", "PNG")))

    assert error.reason is PhotoReason.UNSUPPORTED_FORMAT
    assert "WEBP" in str(error)
    assert "JPEG or PNG" in str(error)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photo_at_the_limits_is_decoded_and_one_above_is_refused(kind):
    data = encode(draw_scene(20, 30), kind)

    assert decode(data, limits=PhotoLimits(max_bytes=len(data), max_pixels=600, max_side_px=30)).shape == (20, 30, 3)
    assert refuse(data, limits=PhotoLimits(max_bytes=len(data) - 1)).reason is PhotoReason.TOO_MANY_BYTES
    assert refuse(data, limits=PhotoLimits(max_pixels=599)).reason is PhotoReason.TOO_MANY_PIXELS
    assert refuse(data, limits=PhotoLimits(max_side_px=29)).reason is PhotoReason.SIDE_TOO_LONG


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": tag_orientation(1)}])
def test_webp_size_is_read_before_its_reader_sees_it(options):
    data = bytearray(encode(Image.new("RGB", (70, 50)), "WEBP", **options))
    at = data.index(b"VP8") + 8  # past the chunk's name and length
    if data[at - 5 : at - 4] == b"X":
        data[at + 4 : at + 10] = (16382).to_bytes(3, "little") * 2
    elif data[at - 5 : at - 4] == b"L":
        data[at + 1 : at + 5] = (16382 | 16382 << 14).to_bytes(4, "little")
    else:
        data[at + 6 : at + 10] = struct.pack("<HH", 16383, 16383)

    error = refuse(bytes(data))

    assert error.reason is PhotoReason.TOO_MANY_PIXELS
    assert "16383 x 16383" in str(error)


def test_scans_without_end_are_refused():
    data = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last_scan = data[data.rindex(SCAN_MARKER) : -2]

    assert decode(data[:-2] + last_scan * 50 + data[-2:]).shape == (64, 64, 3)
    assert refuse(data[:-2] + last_scan * MAX_JPEG_SCANS + data[-2:]).reason is PhotoReason.DAMAGED


def test_text_that_unpacks_without_end_is_refused():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "a" * 50_000_000, zip=True)

    assert refuse(encode(Image.new("RGB", (9, 9)), pnginfo=notes)).reason is PhotoReason.DAMAGED


def test_pillows_own_limit_has_no_say(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)

    for kind in ("JPEG", "PNG"):
        assert decode(encode(Image.new("RGB", (64, 64)), kind)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "options", [{"max_bytes": 0}, {"max_pixels": -1}, {"max_side_px": 0}, {"formats": ()}, {"formats": ("JPEG", "GIF")}]
)
def test_senseless_limits_are_refused(options):
    with pytest.raises(ValueError, match=f"Received: {next(iter(options))}="):
        PhotoLimits(**options)


def measure_refusal():
    """In a process of its own: print by how many bytes the peak grows while the photo in stdin is refused."""
    data = sys.stdin.buffer.read()
    decode(encode(Image.new("RGB", (9, 9))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason = refuse(data).reason
    print(reason, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def test_huge_flat_png_is_refused_in_little_memory():
    side_px = 14_000
    data = encode_png((bytes(3 * side_px) for _ in range(side_px)), bits=8, colour=2, size=(side_px, side_px))

    program = "import runpy, sys; runpy.run_path(sys.argv[1])['measure_refusal']()"
    ran = subprocess.run([sys.executable, "-c", program, __file__], input=data, capture_output=True, check=True)

    reason, grown_bytes = ran.stdout.split()
    assert len(data) < 700_000
    assert reason == b"TOO_MANY_PIXELS"
    assert int(grown_bytes) < 50_000_000


SAMPLES = [
    encode(draw_scene(40, 60), "JPEG", exif=tag_orientation(6)),
    encode(draw_scene(40, 60), "JPEG", progressive=True),
    encode(Image.fromarray(draw_scene(40, 60)).convert("CMYK"), "JPEG"),
    encode(Image.fromarray(draw_scene(40, 60)).convert("P")),
    encode(Image.fromarray(draw_scene(40, 60)).convert("RGBA")),
    encode(np.arange(2400, dtype=np.uint16).reshape(40, 60)),
    encode(draw_scene(40, 60), "WEBP", exif=tag_orientation(3)),
    encode(draw_scene(40, 60), "WEBP", lossless=True),
]


@pytest.mark.filterwarnings("ignore:Invalid APNG")  # Pillow's remark about a damaged animation
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_bytes_decode_or_raise_a_photo_error(data):
    photo = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(photo) - 1))
        photo[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        decoded = decode(
            bytes(photo),
            limits=PhotoLimits(max_pixels=1_000_000),
            needed_side_px=data.draw(st.sampled_from([None, 5])),
        )
    except PhotoError:
        return

    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    assert decoded.dtype == np.uint8


def test_photo_file_is_read_whole(tmp_path):
    (tmp_path / "bee.jpg").write_bytes(b"12345")

    assert read_photo(tmp_path / "bee.jpg", limits=PhotoLimits(max_bytes=5)) == b"12345"


def test_too_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "bee.jpg").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing: reading it would fail for want of memory

    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path / "bee.jpg")

    assert caught.value.reason is PhotoReason.TOO_MANY_BYTES


@pytest.mark.parametrize("name", ["missing.jpg", "folder.jpg", "pipe.jpg", "itself.jpg", "nul\0.jpg"])
def test_what_is_no_file_is_unreadable(tmp_path, name):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")

    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path / name)

    assert caught.value.reason is PhotoReason.UNREADABLE


def test_threads_decode_the_same():
    data, results = encode(draw_scene(300, 400), "JPEG"), []
    threads = [threading.Thread(target=lambda: results.append(decode(data, needed_side_px=60))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 8
    assert all((result == results[0]).all() for result in results)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED_PHOTOS, reason="BEEDEX_SHARED_PHOTOS is not set")
@pytest.mark.parametrize("folder", ["wildbees", "six-types", "not-bees"])
def test_real_photos_decode(folder):
    paths = sorted(Path(SHARED_PHOTOS or "", folder).glob("*/*.*"))

    assert len(paths) >= 75
    for path in paths:
        assert min(decode(read_photo(path), needed_side_px=64).shape[:2]) > 1
