"""What a caller may give as a photo, and that the server decodes what travels to what was given."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from beedex.client import PhotoError
from beedex.client._photos.photos import read_photo
from beedex.index.photos import decode

WHITE = 255

shapes: st.SearchStrategy[tuple[int, ...]] = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])),
)


def draw(height, width, *channels):
    return np.random.default_rng(7).integers(0, 256, (height, width, *channels), np.uint8)


def lay_on_white(rgba):
    """What the server does with what is transparent, as Pillow has it."""
    page = Image.new("RGB", (rgba.shape[1], rgba.shape[0]), (WHITE,) * 3)
    page.paste(Image.fromarray(rgba), mask=Image.fromarray(rgba))
    return np.asarray(page)


def see(pixels):
    """The pixels that are meant by an array of any of the shapes: (H, W, 3)."""
    if pixels.ndim == 2:
        return np.stack([pixels] * 3, axis=2)
    return pixels if pixels.shape[2] == 3 else lay_on_white(pixels)


@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_the_server_decodes_an_array_to_its_pixels(pixels):
    np.testing.assert_array_equal(decode(read_photo(pixels)), see(pixels))


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_a_view_of_an_array_is_its_pixels(channels):
    pixels = draw(20, 30, *channels)[::-2, 3::3]

    np.testing.assert_array_equal(decode(read_photo(pixels)), see(pixels))


@pytest.mark.parametrize(
    ("pixels", "kind", "message"),
    [
        (draw(4, 4, 3).astype(np.float32), TypeError, r"uint8 from 0 to 255, received float32; .*astype"),
        (draw(4, 4, 3) > 9, TypeError, "received bool"),
        (draw(3, 4, 5), ValueError, r"\(H, W, 3\) for RGB .* received \(3, 4, 5\); move the channels last"),
        (draw(2, 4, 4, 3), ValueError, "one call for each photo"),
        (draw(4, 4, 1), ValueError, r"received \(4, 4, 1\)"),
        (draw(0, 4, 3), ValueError, r"received \(0, 4, 3\)"),
        (np.zeros(32, np.uint8), ValueError, "an embedding as vector="),
    ],
)
def test_an_array_that_is_no_photo_is_refused_with_the_way_out(pixels, kind, message):
    with pytest.raises(kind, match=message):
        read_photo(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_a_pil_image_of_any_mode_of_8_bits_is_seen_as_pillow_converts_it(mode):
    image = Image.fromarray(draw(9, 7, 4))
    image = image.convert("RGB").convert(mode) if mode in ("1", "P", "YCbCr", "HSV", "CMYK", "RGBX") else image
    image = image.convert(mode)
    expected = lay_on_white(np.asarray(image.convert("RGBA"))) if mode in ("LA", "RGBA") else image.convert("RGB")

    np.testing.assert_array_equal(decode(read_photo(image)), np.asarray(expected))


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "LAB"])
def test_a_pil_image_that_pillow_does_not_convert_as_it_looks_is_refused(mode):
    with pytest.raises(ValueError, match=f"8 bits a channel, .* received mode {mode}"):
        read_photo(Image.new(mode, (4, 4)))


def turned(orientation):
    """A JPEG whose camera was held in another way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(draw(24, 16, 3)).resize((160, 240)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_opened_image_is_turned_once_as_its_file_would_be(orientation):
    file = turned(orientation)
    upright = decode(file)
    with Image.open(io.BytesIO(file)) as opened:
        np.testing.assert_array_equal(decode(read_photo(opened)), upright)
        # What leaves the tag with the image leaves the pixels as they were.
        np.testing.assert_array_equal(decode(read_photo(opened.convert("RGB"))), upright)
        # What turns the image takes the tag away.
        np.testing.assert_array_equal(decode(read_photo(ImageOps.exif_transpose(opened))), upright)


def test_an_image_stays_as_it_is_when_it_is_read():
    with Image.open(io.BytesIO(turned(6))) as opened:
        before = opened.size, opened.getexif()[0x0112]
        read_photo(opened)

        assert (opened.size, opened.getexif()[0x0112]) == before


def test_a_damaged_image_is_a_photo_error():
    with Image.open(io.BytesIO(turned(1)[:900])) as opened, pytest.raises(PhotoError, match="can't be read") as caught:
        read_photo(opened)

    assert caught.value.reason == "UNREADABLE_FILE"


def test_files_travel_as_they_are(tmp_path):
    path = tmp_path / "bee.jpg"
    path.write_bytes(b"not even a photo")
    with path.open("rb") as file:
        sources = [path, str(path), b"not even a photo", bytearray(b"not even a photo"), file]

        assert {read_photo(source) for source in sources} == {b"not even a photo"}


def test_pixels_are_answered_as_their_file_is(connect, address, tiny_gallery):
    path = min(tiny_gallery.rglob("*.jpg"))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
        client = connect(address)
        by_file, by_array, by_image = (client.embed(photo).vector for photo in (path, pixels, image))

    assert by_file @ by_array >= 0.99999
    assert by_file @ by_image >= 0.99999
