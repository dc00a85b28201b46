"""What the client saves by shrinking large photos before they travel, and what it costs.

    .venv/bin/python tests/benchmarks/shrinking.py
    .venv/bin/python tests/benchmarks/shrinking.py --photos DIR --embedder beedex-demo/embedder

Photos are enlarged to 1, 4, 12 and 20 megapixels, so that they have fewer bytes than a camera's of that size, and saved
as JPEG, turned JPEG, PNG and WebP. Of each size and format it prints

    smaller     bytes of the photo over bytes of what travels
    client      milliseconds in which the client shrinks it
    server      how long the server takes to prepare the photo, over how long it takes with what travels
    pays below  the connection, in megabit a second, on which shrinking takes as long as sending what it saves

and, with an embedder, the least cosine between the embeddings of the photo and of what travels.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from beedex.client import Limits
from beedex.client._photos.shrinking import shrink_file
from beedex.index.embedder import Embedder
from beedex.index.photos import DEFAULT_LIMITS
from beedex.index.preprocessing import SIDE_PX, prepare
from beedex.training.drawing import draw_gallery

SIZES = ((1200, 900), (2304, 1728), (4000, 3000), (5168, 3876))

WAYS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "JPEG": ("JPEG", 1, {"quality": 90}),
    "JPEG, turned": ("JPEG", 6, {"quality": 90}),
    "PNG": ("PNG", 1, {"compress_level": 1}),
    "WebP": ("WEBP", 1, {"quality": 85, "method": 0}),
}

LIMITS = Limits(
    max_photo_bytes=DEFAULT_LIMITS.max_bytes,
    max_photo_pixels=DEFAULT_LIMITS.max_pixels,
    max_photo_side_px=DEFAULT_LIMITS.max_side_px,
    photo_formats=DEFAULT_LIMITS.formats,
    max_k=1,
)

Result = TypeVar("Result")


def clock(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what *work* returns, and its seconds."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def save(image: Image.Image, way: str) -> bytes:
    """Return an image as a file."""
    kind, orientation, options = WAYS[way]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def list_photos(folder: Path | None, count: int) -> Iterator[Path]:
    """Yield *count* photos of a folder, evenly; of drawn bees without one."""
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="beedex-shrinking-"))
        draw_gallery(folder, per_family=1, seed=3)
    files = sorted(folder.rglob("*.jpg"))
    yield from files[:: max(1, len(files) // count)][:count]


def measure(photo: bytes, embedder: Embedder | None) -> tuple[float, ...]:
    """Return bytes and bytes sent, seconds of client and of server for both, and the cosine."""
    sent, client_s = clock(lambda: shrink_file(photo, SIDE_PX, LIMITS))
    _, before_s = clock(lambda: prepare(photo))
    _, after_s = clock(lambda: prepare(sent))
    cosine = float(embedder.embed_photo(photo) @ embedder.embed_photo(sent)) if embedder else 1.0
    return len(photo), len(sent), client_s, before_s, after_s, cosine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; drawn bees without it")
    parser.add_argument("--embedder", type=Path, help="a bundle, to compare embeddings as well")
    parser.add_argument("--count", type=int, default=3, help="how many photos")
    arguments = parser.parse_args()
    images = [Image.open(path).convert("RGB") for path in list_photos(arguments.photos, arguments.count)]
    print(
        f"{'megapixels':>10} {'format':<13} {'MB':>6} {'smaller':>8} {'client ms':>10} {'server':>7} {'pays below':>11}"
    )
    least = 1.0
    with Embedder.load(arguments.embedder) if arguments.embedder else nullcontext() as embedder:
        for size in SIZES:
            large = [image.resize(size, Image.Resampling.BICUBIC) for image in images]
            for way in WAYS:
                rows = [measure(save(image, way), embedder) for image in large]
                photo, sent, client_s, before_s, after_s, _ = (
                    statistics.median(column) for column in zip(*rows, strict=True)
                )
                least = min(least, *(row[-1] for row in rows))
                pays_below = 8e-6 * (photo - sent) / client_s
                print(
                    f"{size[0] * size[1] / 1e6:10.1f} {way:<13} {photo / 1e6:6.2f} {photo / sent:7.1f}x "
                    f"{1000 * client_s:10.0f} {before_s / after_s:6.1f}x {pays_below:7.0f} Mb/s"
                )
    if arguments.embedder:
        print(f"least cosine between the embeddings of a photo and of what travels: {least:.6f}")


if __name__ == "__main__":
    main()
