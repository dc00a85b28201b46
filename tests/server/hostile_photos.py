"""Photos that are meant to hurt: bombs, polyglots, headers that lie, damage of every format."""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, PngImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP")
FLIPS_PER_FORMAT = 5
MAX_PHOTO_BYTES = 32 * 1024 * 1024

# What a photo may be refused for when nobody can say beforehand how far its reader gets.
DAMAGE = frozenset({"OK", "DAMAGED", "NOT_A_PHOTO", "TOO_MANY_PIXELS", "SIDE_TOO_LONG", "UNSUPPORTED_FORMAT"})


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_png(
    size: tuple[int, int], *, bits: int = 8, colour: int = 2, rows: Iterable[bytes] = (), extra: bytes = b""
) -> bytes:
    """A PNG that says it has *size*, whatever *rows* hold; *extra* are chunks behind the header."""
    head = make_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0))
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(b"\0" + row) for row in rows) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + extra + make_chunk(b"IDAT", body) + make_chunk(b"IEND", b"")


def make_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def lie_about_jpeg_size(photo: bytes, width: int, height: int) -> bytes:
    at = photo.index(b"\xff\xc0") + 5
    return photo[:at] + struct.pack(">HH", height, width) + photo[at + 4 :]


def draw_noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (90, 120, 3), dtype=np.uint8))


def flip_bits(photo: bytes, seed: int) -> bytes:
    """Return it with one bit in a hundred bytes turned, the first 16 left alone."""
    generator, damaged = np.random.default_rng(seed), bytearray(photo)
    for at in generator.integers(16, len(photo), max(1, len(photo) // 100)):
        damaged[at] ^= 1 << int(generator.integers(8))
    return bytes(damaged)


def list_damaged() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Cut off and bit-flipped photos of each format: name, bytes, and the reasons they may be refused for."""
    for kind in FORMATS:
        photo = encode(draw_noise(), kind)
        for share in (5, 40, 90):
            yield f"{kind} cut off at {share} %", photo[: len(photo) * share // 100], frozenset({"DAMAGED"})
        for seed in range(FLIPS_PER_FORMAT):
            yield f"{kind} with bits flipped, {seed}", flip_bits(photo, seed), DAMAGE


def list_liars() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Bombs, polyglots and headers that lie."""
    noise, jpeg, png = draw_noise(), encode(draw_noise(), "JPEG"), encode(draw_noise(), "PNG")
    too_large, damaged, ok = frozenset({"TOO_MANY_PIXELS"}), frozenset({"DAMAGED"}), frozenset({"OK"})
    yield "an empty photo", b"", frozenset({"EMPTY"})
    yield "a text", b"<html><script>alert(1)</script></html>", frozenset({"NOT_A_PHOTO"})
    yield "a program", b"\x7fELF" + bytes(400), frozenset({"NOT_A_PHOTO"})
    yield "a zip archive", b"PK\x03\x04" + bytes(400), frozenset({"NOT_A_PHOTO"})
    for kind in ("GIF", "TIFF", "BMP"):
        yield f"a {kind}", encode(noise, kind), frozenset({"UNSUPPORTED_FORMAT"})
    yield "an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", frozenset({"UNSUPPORTED_FORMAT"})
    yield "a PDF", b"%PDF-1.7\n" + bytes(100), frozenset({"UNSUPPORTED_FORMAT"})
    yield "a HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", frozenset({"UNSUPPORTED_FORMAT"})
    yield "a GIF that goes on as a JPEG", b"GIF89a" + jpeg, frozenset({"UNSUPPORTED_FORMAT"})
    yield "a JPEG that goes on as a zip archive", jpeg + b"PK\x03\x04" + bytes(400), ok
    yield "a PNG that goes on as a web page", png + b"<script>alert(1)</script>", ok
    yield "a JPEG that calls itself a PNG", b"\x89PNG\r\n\x1a\n" + jpeg[8:], damaged
    flat = (bytes(3 * 14_000) for _ in range(14_000))
    yield "a PNG of 600 kB and 196 megapixels", make_png((14_000, 14_000), rows=flat), too_large
    yield "a PNG of 81 megapixels in one bit", encode(Image.new("1", (9_000, 9_000)), "PNG"), too_large
    yield "a PNG whose header says 2^31 - 1", make_png((2**31 - 1, 2**31 - 1)), frozenset({"SIDE_TOO_LONG"})
    yield "a PNG of no size", make_png((0, 0)), damaged
    yield "a PNG that says 7000 x 7000 and has nothing", make_png((7_000, 7_000)), damaged
    yield "a PNG of a colour type that there isn't", make_png((9, 9), colour=7), damaged
    yield (
        "a JPEG whose header says 65500 x 65500",
        lie_about_jpeg_size(jpeg, 65_500, 65_500),
        frozenset({"SIDE_TOO_LONG"}),
    )
    # libjpeg makes up what is missing, in gray.
    yield "a JPEG whose header says 8000 x 8000", lie_about_jpeg_size(jpeg, 8_000, 8_000), DAMAGE
    vp8l = b"VP8L" + struct.pack("<I", 20) + b"\x2f" + (16382 | 16382 << 14).to_bytes(4, "little") + bytes(15)
    yield "a WebP whose header says 16383 x 16383", b"RIFF" + struct.pack("<I", 40) + b"WEBP" + vp8l, too_large
    yield "a WebP whose RIFF says 4 GB", b"RIFF\xff\xff\xff\xffWEBP" + encode(noise, "WEBP")[12:], DAMAGE
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "a" * 50_000_000, zip=True)
    yield "a PNG with 50 MB of text in 50 kB", encode(noise, "PNG", pnginfo=notes), damaged
    profile = zlib.compress(bytes(200_000_000), 9)
    colours = make_chunk(b"iCCP", b"bomb\0\0" + profile)
    yield "a PNG with a colour profile of 200 MB", make_png((9, 9), rows=[bytes(27)] * 9, extra=colours), DAMAGE
    progressive = encode(noise, "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield "a JPEG of 5,000 scans", progressive[:-2] + last_scan * 5_000 + progressive[-2:], damaged
    frames = [Image.new("RGB", (64, 64), (number, 0, 0)) for number in range(256)]
    yield "a WebP of 256 frames", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]), ok
    yield "a PNG of 256 frames", encode(frames[0], "PNG", save_all=True, append_images=frames[1:]), ok
    yield "a JPEG with EXIF that points out of itself", encode(noise, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), ok
    yield "a megabyte of 0xff behind a JPEG's first bytes", b"\xff\xd8" + b"\xff" * 1_000_000, damaged
    yield "a photo one byte too large", jpeg + bytes(MAX_PHOTO_BYTES + 1 - len(jpeg)), frozenset({"TOO_MANY_BYTES"})
    yield "a CMYK JPEG", encode(noise.convert("CMYK"), "JPEG"), ok
    yield "a photo of one pixel", encode(Image.new("RGB", (1, 1)), "PNG"), ok
    yield "a photo of 20000 x 1", encode(Image.new("RGB", (20_000, 1)), "PNG"), ok
    yield "a photo of 20001 x 1", encode(Image.new("RGB", (20_001, 1)), "PNG"), frozenset({"SIDE_TOO_LONG"})
