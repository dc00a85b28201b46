"""Small pictures that carry nothing but the picture."""

import base64
import io

import numpy as np
from PIL import Image

from beedex.training.report.thumbnails import SIDE_PX, make_thumbnails


def read_uri(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_thumbnail_is_the_photo_made_small() -> None:
    photo = np.zeros((200, 400, 3), np.uint8)
    photo[:, :200] = 255, 0, 0

    made = make_thumbnails(lambda _: photo, [5])[5]

    image = read_uri(made.uri)
    assert image.size == (made.width, made.height) == (SIDE_PX, SIDE_PX // 2)
    assert np.abs(np.asarray(image)[24, 10].astype(int) - [255, 0, 0]).max() < 12
    assert np.abs(np.asarray(image)[24, 85].astype(int)).max() < 12


def test_a_thumbnail_is_upright_and_forgets_where_it_was_taken() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    Image.new("RGB", (400, 200)).save(file, "JPEG", exif=exif)

    made = make_thumbnails(lambda _: file.getvalue(), [0])[0]

    assert (made.width, made.height) == (SIDE_PX // 2, SIDE_PX)
    assert not read_uri(made.uri).getexif()


def test_photos_that_cannot_be_read_are_missing() -> None:
    def read(number: int) -> bytes:
        if number == 0:
            raise PermissionError
        return b"damaged"

    assert make_thumbnails(read, [0, 1]) == {}
