"""`fit` against numpy.resize, and what of `prepare` the fingerprint rests on."""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from beedex.index.errors import PhotoError, PhotoReason
from beedex.index.photos import PhotoLimits, decode
from beedex.index.preprocessing import Preprocessing, fit, prepare


def draw_noise(height, width, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw_waves(height, width):
    """(H, W, 3) texture from coarse to fine, neither flat nor noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [127 + 80 * np.sin(f * (x + k * y) * (1 + x)) for k, f in enumerate((20, 60, 150))]
    return np.stack(waves, axis=2).astype(np.uint8)


def resize_plainly(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def encode(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("height", "width", "fitted_height"),
    [(100, 299, 100), (200, 598, 100), (67, 201, 100), (1, 400, 1), (450, 600, 224)],
)
def test_wide_photo_is_filled_as_numpy_resize_does(height, width, fitted_height):
    photo = draw_noise(height, width)

    expected = np.resize(resize_plainly(photo, 299, fitted_height), (299, 299, 3))
    np.testing.assert_array_equal(fit(photo), expected)


@pytest.mark.parametrize(
    ("height", "width", "fitted_width"),
    [(299, 100, 100), (598, 200, 100), (201, 67, 100), (400, 1, 1), (600, 450, 224)],
)
def test_tall_photo_is_filled_as_numpy_resize_does_to_its_transpose(height, width, fitted_width):
    photo = draw_noise(height, width)

    resized = resize_plainly(photo, fitted_width, 299)
    expected = np.resize(resized.swapaxes(0, 1), (299, 299, 3)).swapaxes(0, 1)
    np.testing.assert_array_equal(fit(photo), expected)


def test_square_photo_of_the_right_size_stays_as_it_is():
    photo = draw_noise(299, 299)

    np.testing.assert_array_equal(fit(photo), photo)


def test_small_photo_is_enlarged():
    photo = np.zeros((2, 4, 3), np.uint8)
    photo[:, 2:] = 200

    fitted = fit(photo, 40)

    assert fitted[:, :15].mean() < 15
    assert np.abs(fitted[:, 25:].astype(int) - 200).mean() < 15


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([1, 32, 299]))
def test_every_row_and_column_repeats_the_resized_photo(height, width, side_px):
    photo = draw_noise(height, width, seed=height * 701 + width)

    fitted = fit(photo, side_px)

    long_side = max(height, width)
    rows, columns = max(1, round(height * side_px / long_side)), max(1, round(width * side_px / long_side))
    resized = resize_plainly(photo, columns, rows)
    assert fitted.shape == (side_px, side_px, 3)
    assert fitted.dtype == np.uint8
    for i in range(side_px):
        np.testing.assert_array_equal(fitted[i, :columns], resized[i % rows])
        np.testing.assert_array_equal(fitted[:rows, i], resized[:, i % columns])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_fitting_the_transpose_gives_the_transpose(height, width):
    photo = draw_waves(height, width)

    # Pillow resizes along the rows first and rounds in between.
    difference = fit(photo.swapaxes(0, 1).copy(), 64).astype(int) - fit(photo, 64).swapaxes(0, 1)
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_no_photo_array_is_refused(image):
    with pytest.raises(ValueError, match="Received: dtype="):
        fit(image)


def test_a_side_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Received: side_px=0"):
        fit(draw_noise(4, 4), 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_prepare_is_decode_then_fit(kind):
    data = encode(draw_waves(300, 400), kind)

    np.testing.assert_array_equal(prepare(data, side_px=64), fit(decode(data, needed_side_px=64), 64))
    assert prepare(data).shape == (299, 299, 3)


@pytest.mark.parametrize(("size", "scale"), [((1200, 1600), 8), ((1600, 900), 4), ((400, 400), 2)])
def test_reduced_photo_fits_like_the_whole_one(size, scale):
    data = encode(draw_waves(*size), "JPEG", quality=95)

    whole = fit(decode(data), 64).astype(int)

    assert decode(data, needed_side_px=64).shape[0] == size[0] // scale
    assert np.abs(prepare(data, side_px=64) - whole).mean() < 2.5
    assert np.abs(prepare(data, side_px=64) - whole).max() <= 12


def test_prepare_holds_the_limits():
    with pytest.raises(PhotoError) as caught:
        prepare(encode(draw_noise(10, 20), "PNG"), limits=PhotoLimits(max_side_px=19))

    assert caught.value.reason is PhotoReason.SIDE_TOO_LONG


def test_prepared_pixels_belong_to_this_version():
    """When this fails, `decode` or `fit` gives other pixels: raise `Preprocessing.version`, then change the digest."""
    pixels = prepare(encode(draw_noise(500, 700), "PNG"))

    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    assert (Preprocessing().version, digest[:16]) == (1, "8f1339883d266023")


def test_preprocessing_json_is_canonical():
    expected = (
        '{"version":1,"side_px":299,"alpha":"white","resample":"lanczos","fill":"wrap",'
        '"scaling":"[-1, 1], in the graph"}'
    )

    assert Preprocessing().model_dump_json() == expected
    assert Preprocessing(fill="wrap", version=1).model_dump_json() == expected
    assert Preprocessing.model_validate_json(expected) == Preprocessing()


@pytest.mark.parametrize(
    "field", [{"version": 2}, {"fill": "zeros"}, {"resample": "bilinear"}, {"side_px": 0}, {"colour": "bgr"}]
)
def test_preprocessing_of_another_kind_is_refused(field):
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(field)


def test_preprocessing_is_frozen():
    with pytest.raises(ValidationError):
        Preprocessing().side_px = 5
